"""Evaluate a checkpoint: on the held-out scenes, and on BSDS500's validation photographs where a copy is at hand.

    evaluate.py CHECKPOINT                      scenes: 1 and 3 clicks, box, calibration, recall of mask generation
    evaluate.py CHECKPOINT --bsds FOLDER        FOLDER holds images/val/*.jpg and groundTruth/val/*.mat

The checkpoint is one of train.py's, or a .safetensors that export.py or maskmill wrote."""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import model as models
import scenes

LEAST_AREA = 400  # pixels of a held-out scene
TARGETS = 12      # asked of a scene


def load(path, side=None):
    """Model in evaluation mode, at its own or another image size."""
    state, config = models.read(path)
    model = models.Model({**config, "image_size": side or config["image_size"]})
    model.load_state_dict(state, strict=False)  # exported files have no counts of batches
    return model.eval()


class Subject:
    """An image in the model's frame, as maskmill frames it: long side to image_size, padded right and below."""

    def __init__(self, model, image):
        self.model, self.side = model, model.config["image_size"]
        self.height, self.width = image.shape[:2]
        scale = self.side / max(image.shape[:2])
        self.size = int(self.height * scale + 0.5), int(self.width * scale + 0.5)
        resized = np.asarray(Image.fromarray(image).resize(self.size[::-1], Image.BILINEAR), np.float32)
        padded = np.zeros((self.side, self.side, 3), np.float32)
        padded[:self.size[0], :self.size[1]] = (resized - models.MEAN) / models.STD
        self.embedding = model.image_encoder(torch.from_numpy(padded.transpose(2, 0, 1)[None]))

    def ask_all(self, points, labels, mask_input=None, chunk=64):
        """points [N][P][2] in pixels of the image, labels [N][P] -> low-res logits of masks 0..3, predicted IoU [N][4];
        mask 0 is the single-mask output, for prompts that leave no choice"""
        scale = torch.tensor([self.size[1] / self.width, self.size[0] / self.height])
        shares = (torch.as_tensor(np.asarray(points), dtype=torch.float32) * scale + 0.5) / self.side
        labels = torch.as_tensor(np.asarray(labels))
        if not (labels >= 2).any():
            shares = torch.cat([shares, torch.zeros(len(shares), 1, 2)], 1)
            labels = torch.cat([labels, -torch.ones(len(labels), 1, dtype=labels.dtype)], 1)
        logits, predicted = [], []
        for at in range(0, len(shares), chunk):
            part = slice(at, at + chunk)
            owner = torch.zeros(len(shares[part]), dtype=torch.long)
            found = self.model.decode(self.embedding, owner, shares[part], labels[part],
                                      None if mask_input is None else mask_input[part])
            logits.append(found[0])
            predicted.append(found[1])
        return torch.cat(logits), torch.cat(predicted)

    def ask(self, points, labels):
        """The same for a click each: masks 1..3 alone."""
        logits, predicted = self.ask_all(points, labels)
        return logits[:, 1:], predicted[:, 1:]

    def enlarge(self, logits):
        """Low-res logits [N][K][L][L] -> [N][K][height][width], on the way that maskmill takes."""
        whole = F.interpolate(logits, (self.side, self.side), mode="bilinear", align_corners=False)
        return F.interpolate(whole[..., :self.size[0], :self.size[1]], (self.height, self.width), mode="bilinear", align_corners=False)

    def masks(self, logits):
        return torch.cat([self.enlarge(part) > 0 for part in logits.split(16)]).numpy()


def innermost(mask):
    """The pixel (x, y) farthest from the mask's border; the image's edge is a border."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return int(x), int(y)


def overlap(a, b):
    both = np.count_nonzero(a & b)
    return both / max(1, np.count_nonzero(a) + np.count_nonzero(b) - both)


def truths(scene, masks, point, outputs):
    """IoU of each output with the best of the things, masks by node, that lie under the point (x, y)."""
    chain = [masks[int(node)] for node in scene.nodes[scene.leaf[point[1], point[0]]] if int(node) in masks]
    return [max(overlap(output, thing) for thing in chain) for output in outputs]


def box_of(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [[columns[0], rows[0]], [columns[-1], rows[-1]]]


class Tally(dict):
    def add(self, name, value):
        self.setdefault(name, []).append(float(value))

    def score(self, name, found, predicted, target):
        ious = [overlap(mask, target) for mask in found]
        self.add(f"{name}_best", max(ious))
        self.add(f"{name}_chosen", ious[int(predicted.argmax())])

    def score_all(self, name, found, predicted, target):
        """Of four masks: the single-mask output, and the others as above."""
        self.add(f"{name}_single", overlap(found[0], target))
        self.score(name, found[1:], predicted[1:], target)

    def means(self):
        return {name: round(float(np.mean(values)), 4) for name, values in self.items()}


def three_clicks(subject, targets, points, logits, predicted):
    """Two more clicks, each at the innermost point of where mask and target differ, with the last logits as mask input.
    Returns all four outputs."""
    points, labels = np.array(points, float)[:, None], np.ones((len(points), 1), int)
    for _ in range(2):
        chosen = logits[torch.arange(len(logits)), predicted.argmax(1)][:, None]
        found = subject.masks(chosen)[:, 0]
        more = np.array([innermost(mask ^ target) if (mask ^ target).any() else innermost(target)
                         for mask, target in zip(found, targets)])
        label = np.array([[int(target[y, x])] for target, (x, y) in zip(targets, more)])
        points, labels = np.concatenate([points, more[:, None]], 1), np.concatenate([labels, label], 1)
        every = subject.ask_all(points, labels, chosen.clamp(-32, 32))
        logits, predicted = every[0][:, 1:], every[1][:, 1:]
    return every


def generate(subject, per_side, iou_threshold, stability_threshold, offset):
    """Mask generation in short: a grid of points, the filters, box NMS; bool masks."""
    at = (np.arange(per_side) + 0.5) / per_side
    points = np.stack(np.meshgrid(at * subject.width, at * subject.height), -1).reshape(-1, 1, 2)
    logits, predicted = subject.ask(points, np.ones(points.shape[:2], int))
    logits, predicted = logits.flatten(0, 1), predicted.flatten()
    stability = (logits > offset).sum((1, 2)) / (logits > -offset).sum((1, 2)).clamp(min=1)
    keep = (predicted > iou_threshold) & (stability >= stability_threshold) & (logits > 0).any(2).any(1)
    logits, predicted = logits[keep], predicted[keep]
    boxes = np.array([np.ravel(box_of(mask)) for mask in (logits > 0).numpy()]).reshape(-1, 4)
    kept = []
    for i in predicted.argsort(descending=True).tolist():
        if all(_box_iou(boxes[i], boxes[j]) <= 0.7 for j in kept):
            kept.append(i)
    return subject.masks(logits[kept][:, None])[:, 0] if kept else np.zeros((0, subject.height, subject.width), bool)


def _box_iou(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    return both / max(1, (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def held_out(model, args):
    tally = Tally()
    for index in range(args.scenes):
        scene = scenes.draw_scene(scenes.HELD_OUT["split"], scenes.HELD_OUT["first"] + index, scenes.HELD_OUT["side"])
        nodes = scenes.visible_nodes(scene, LEAST_AREA)
        masks = {node: scenes.node_mask(scene, leaves) for node, leaves in nodes.items()}
        subject = Subject(model, scene.image)
        asked = sorted(nodes)
        asked = [asked[i] for i in np.random.default_rng([2, index]).permutation(len(asked))[:TARGETS]]
        targets = [masks[node] for node in asked]
        points = [innermost(target) for target in targets]
        logits, predicted = subject.ask(np.array(points)[:, None], np.ones((len(points), 1), int))
        found = subject.masks(logits)
        for i, target in enumerate(targets):
            tally.score("click1", found[i], predicted[i], target)
            if target.mean() >= 0.02:
                tally.score("click1_large", found[i], predicted[i], target)
            truth = truths(scene, masks, points[i], found[i])
            best = int(predicted[i].argmax())
            tally.add("iou_error", abs(float(predicted[i][best]) - truth[best]))
            tally.add("iou_bias", float(predicted[i][best]) - truth[best])
            tally.add("iou_error_all", np.abs(predicted[i].numpy() - truth).mean())
        logits3, predicted3 = three_clicks(subject, targets, points, logits, predicted)
        logits_box, predicted_box = subject.ask_all([box_of(target) for target in targets], np.tile([2, 3], (len(targets), 1)))
        for name, lo, pr in (("click3", logits3, predicted3), ("box", logits_box, predicted_box)):
            for mask, iou, target in zip(subject.masks(lo), pr, targets):
                tally.score_all(name, mask, iou, target)
        if index < args.generate:
            made = generate(subject, args.grid, *args.thresholds)
            tally.add("generated", len(made))
            for target in masks.values():
                tally.add("recall", max((overlap(mask, target) for mask in made), default=0) >= 0.5)
    return dict(scenes=args.scenes, targets=len(tally["click1_best"]), **tally.means())


def bsds(model, args):
    from scipy.io import loadmat

    tally = Tally()
    listed = sorted((args.bsds / "images/val").glob("*.jpg"))[:args.images]
    for path in listed:
        subject = Subject(model, np.asarray(Image.open(path).convert("RGB")))
        annotators = loadmat(args.bsds / "groundTruth/val" / f"{path.stem}.mat")["groundTruth"][0]
        targets = [segments == number for annotator in annotators for segments in [annotator[0, 0]["Segmentation"]]
                   for number in np.unique(segments)]
        targets = [target for target in targets if np.count_nonzero(target) > (500 if args.small else 0.02 * target.size)]
        points = np.array([innermost(target) for target in targets])[:, None]
        logits, predicted = subject.ask(points, np.ones((len(points), 1), int))
        for part in range(0, len(targets), 16):
            found = subject.masks(logits[part:part + 16])
            for mask, iou, target in zip(found, predicted[part:], targets[part:]):
                if target.mean() >= 0.02:
                    tally.score("large", mask, iou, target)
                if np.count_nonzero(target) > 500:
                    tally.score("all", mask, iou, target)
        if args.grid_bsds:
            made = generate(subject, args.grid_bsds, *args.thresholds)
            tally.add("generated", len(made))
            for target in targets:
                tally.add("recall", max((overlap(mask, target) for mask in made), default=0) >= 0.5)
    return dict(images=len(listed), targets=len(tally["large_best"]), **tally.means())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--side", type=int, help="another image size than the checkpoint's")
    parser.add_argument("--scenes", type=int, default=scenes.HELD_OUT["count"], help="how many of the held-out scenes")
    parser.add_argument("--generate", type=int, default=40, help="with mask generation on so many of them")
    parser.add_argument("--grid", type=int, default=32, help="its points a side")
    parser.add_argument("--thresholds", type=float, nargs=3, default=[0.5, 0.6, 0.25], metavar=("IOU", "STABILITY", "OFFSET"))
    parser.add_argument("--bsds", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--small", action="store_true", help="BSDS500: segments above 500 pixels as well")
    parser.add_argument("--grid-bsds", type=int, default=0, help="BSDS500: mask generation with so many points a side")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        model = load(args.checkpoint, args.side)
        print(json.dumps(bsds(model, args) if args.bsds else held_out(model, args)))


if __name__ == "__main__":
    main()
