"""Take the bias out of a model's predicted IoU: by how much it is off on average, after one click on scenes of the training
split, against the best of the things under the click, rounded to a hundredth, is added to what the head says of the three masks of a click.

    calibrate.py CHECKPOINT OUT.safetensors [--scenes N]

The order of masks does not change, and thresholds move by the same amount, which is printed. The single mask, which answers boxes
and several clicks, keeps its score: there it is known which thing is meant, and `maskmill train decoder` makes it so."""

import argparse
from pathlib import Path

import numpy as np
import torch

import evaluate
import export
import model as models
import scenes

FIRST = 950_000  # scenes that nothing else looks at


def biases(model, count):
    """Predicted minus true IoU of the mask that a click on each thing of the scenes chooses."""
    found = []
    for index in range(FIRST, FIRST + count):
        scene = scenes.draw_scene(scenes.TRAINING_SPLIT, index, model.config["image_size"])
        masks = {node: scenes.node_mask(scene, leaves) for node, leaves in scenes.visible_nodes(scene, evaluate.LEAST_AREA).items()}
        subject = evaluate.Subject(model, scene.image)
        points = [evaluate.innermost(mask) for mask in masks.values()]
        logits, predicted = subject.ask(np.array(points)[:, None], np.ones((len(points), 1), int))
        for point, outputs, scores in zip(points, subject.masks(logits), predicted):
            best = int(scores.argmax())
            found.append(float(scores[best]) - evaluate.truths(scene, masks, point, outputs)[best])
    return np.array(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, default=60)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        found = biases(evaluate.load(args.checkpoint), args.scenes)
    state, config = models.read(args.checkpoint)
    last = max(name for name in state if name.startswith("mask_decoder.iou_prediction_head.layers.") and name.endswith(".bias"))
    bias = round(float(found.mean()), 2)
    state[last][1:] -= bias
    export.save(state, config, args.out, torch.bfloat16)
    print(f"{len(found)} clicks: off by {found.mean():+.4f} on average, by {np.abs(found).mean():.3f} in size; "
          f"scores are now {-bias:+.2f} higher, and off by {np.abs(found - bias).mean():.3f}")


if __name__ == "__main__":
    main()
