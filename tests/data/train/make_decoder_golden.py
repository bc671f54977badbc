#!/usr/bin/env python3
"""Golden numbers for training the decoder: gradients by PyTorch's autograd, and the losses of ten steps of its AdamW.

The model is tests/data/golden/tiny.pth (every tensor random); image, masks and targets follow from formulas that
tests/train/test_golden.c has too. Needs torch and numpy: run it as `python3 tests/data/train/make_decoder_golden.py`, when what is
computed changes on purpose. Writes decoder.json and decoder.gradients.f32 beside itself."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "scripts/train_default"))

import losses  # noqa: E402
import model as models  # noqa: E402

STRIDE = 5  # of a gradient's values, every so many are kept
SIDE, STEPS, RATE, DECAY = 16, 10, 2e-3, 0.05
MULTIMASK = 0.5
# x, y in pixels of a 256 x 256 image, label; and the disc that is meant: centre and radius as shares of the side
CLICKS = [[(60, 70, 1)], [(200, 40, 1)], [(128, 128, 1)]]
CORRECTED = [[(60, 70, 1), (90, 100, 0)], [(30, 220, 1), (40, 200, 1)]]
DISCS = [(0.25, 0.25, 0.2), (0.75, 0.2, 0.15), (0.5, 0.5, 0.4), (0.25, 0.25, 0.12), (0.15, 0.8, 0.1)]


def noise(seed, count):
    values = np.empty(count, np.float32)
    for i in range(count):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        values[i] = (seed - (1 << 32) if seed >= 1 << 31 else seed) / 2147483648
    return values


def grid_of(cells):
    """[...][N][4][4] in the order of cells to [...][4 side][4 side]."""
    x = torch.as_tensor(cells).view(-1, SIDE, SIDE, 2, 2, 2, 2).permute(0, 1, 3, 5, 2, 4, 6)
    return x.reshape(-1, 1, 4 * SIDE, 4 * SIDE)


def disc(x, y, radius):
    at = (torch.arange(4 * SIDE) + 0.5) / (4 * SIDE)
    far = ((at[None] - x) ** 2 + (at[:, None] - y) ** 2).sqrt()
    return ((radius - far) * 4 * SIDE + 0.5).clamp(0, 1)


def questions(clicks):
    """Points as shares of the side and labels, each with the "no point" of prompts without a box."""
    points = torch.tensor([[((x + 0.5) / 256, (y + 0.5) / 256) for x, y, _ in prompt] + [(0.0, 0.0)] for prompt in clicks])
    labels = torch.tensor([[label for _, _, label in prompt] + [-1] for prompt in clicks])
    return points, labels


def answer_loss(logits, predicted, targets, ambiguous):
    """Sum over the prompts of the loss of src/train/mask_loss.h."""
    loss, iou = losses.pair_losses(logits, targets[:, None])
    loss, iou = loss[..., 0], iou[..., 0]
    least = loss[:, 1:].min(1).values
    error = (predicted - iou) ** 2
    if ambiguous:
        return (least + error[:, 1:].mean(1)).sum()
    return (loss[:, 0] + MULTIMASK * least + error.mean(1)).sum()


def main():
    torch.set_num_threads(1)
    config = json.loads((ROOT / "tests/data/golden/tiny.config.json").read_text())
    net = models.Model({**models.DEFAULT, **config})
    state = torch.load(ROOT / "tests/data/golden/tiny.pth", weights_only=True)
    own = {name: tensor for name, tensor in state.items() if not name.startswith("image_encoder.")}
    missing, unexpected = net.load_state_dict(own, strict=False)
    assert not unexpected and all(name.startswith("image_encoder.") for name in missing), (missing, unexpected)
    width = config["prompt_embed_dim"]
    cells = torch.from_numpy(noise(11, SIDE * SIDE * width)).view(SIDE, SIDE, width)
    embedding = cells.permute(2, 0, 1)[None]
    masks = grid_of(8 * noise(12, 2 * 16 * SIDE * SIDE))
    targets = torch.stack([disc(*d) for d in DISCS])

    def total_loss():
        zeros = torch.zeros(len(CLICKS), dtype=torch.long)
        first = answer_loss(*net.decode(embedding, zeros, *questions(CLICKS)), targets[:3], True)
        second = answer_loss(*net.decode(embedding, zeros[:2], *questions(CORRECTED), masks), targets[3:], False)
        return (first + second) / len(DISCS)

    named = [(name, p) for name, p in net.named_parameters() if not name.startswith("image_encoder.")]
    total_loss().backward()
    kept, tensors, at = [], {}, 0
    for name, p in sorted(named):
        values = p.grad.flatten()
        tensors[name] = {"at": at, "norm": float(values.double().norm())}
        kept.append(values[::STRIDE].numpy())
        at += len(kept[-1])
    np.concatenate(kept).astype("<f4").tofile(HERE / "decoder.gradients.f32")

    def decays(name, p):
        return p.dim() >= 2 and "_embed" not in name and "_token" not in name

    groups = [dict(params=[p for n, p in named if decays(n, p)], weight_decay=DECAY),
              dict(params=[p for n, p in named if not decays(n, p)], weight_decay=0.0)]
    optimiser = torch.optim.AdamW(groups, lr=RATE)
    course = []
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = total_loss()
        loss.backward()
        optimiser.step()
        course.append(loss.item())
    course.append(total_loss().item())
    (HERE / "decoder.json").write_text(json.dumps(
        dict(stride=STRIDE, rate=RATE, decay=DECAY, losses=course, tensors=tensors), indent=1) + "\n")
    print(course)


if __name__ == "__main__":
    main()
