"""A third question to the image encoder, in training only: where are all things at once?

The detector that `maskmill train detector` trains on the finished, frozen encoder (docs/detector.md: the same network, assignment
and losses) is trained along here, so that the embedding comes to tell what a detector needs: a box for each node, from
whichever cell lies in its middle. Nothing of this is exported; the shipped detector begins anew."""

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import scenes

WIDTH, DEPTH, LEVELS, OUTPUTS = 64, 2, 4, 6
LEAST_AREA = 400 / 512 ** 2  # of the image, as in coco.py
OBJECTNESS, QUALITY, BOX = 0, 1, slice(2, 6)


def boxes_of(scene):
    """Boxes of the visible nodes as edges, x0 y0 x1 y1 in pixels, f32 [boxes][4]; even ones, every other pixel is looked at."""
    side = scene.leaf.shape[0]
    nodes = scenes.visible_nodes(scene, LEAST_AREA * side ** 2)
    leaf = scene.leaf[::2, ::2].ravel().astype(np.int64)
    order = leaf.argsort(kind="stable")
    starts = np.flatnonzero(np.diff(leaf[order], prepend=-1))
    y, x = np.divmod(order, side // 2)
    least = np.stack([np.minimum.reduceat(x, starts), np.minimum.reduceat(y, starts)], 1)
    most = np.stack([np.maximum.reduceat(x, starts), np.maximum.reduceat(y, starts)], 1) + 1
    row_of = {int(number): row for row, number in enumerate(leaf[order][starts])}
    found = []
    for leaves in nodes.values():
        rows = [row_of[number] for number in leaves if number in row_of]
        if rows:
            found.append([*least[rows].min(0), *most[rows].max(0)])
    return 2 * np.array(found, np.float32).reshape(-1, 4)


@functools.cache
def cells_of(side):
    """Centres f32 [cells][2] (x, y), strides and levels [cells] of all cells, levels behind one another."""
    centres, levels = [], []
    for level in range(LEVELS):
        stride = 8 << level
        at = (np.arange(side // stride, dtype=np.float32) + 0.5) * stride
        y, x = np.meshgrid(at, at, indexing="ij")
        centres.append(np.stack([x, y], -1).reshape(-1, 2))
        levels.append(np.full(len(centres[-1]), level))
    levels = np.concatenate(levels)
    return np.concatenate(centres), 8 << levels, levels


def assign(boxes, side):
    """The box of each cell, i64 [cells], -1 for none: FCOS's rule, of several boxes the smallest."""
    centres, stride, level = cells_of(side)
    if not len(boxes):
        return np.full(len(centres), -1)
    x, y, stride, level = centres[:, :1], centres[:, 1:], stride[:, None], level[:, None]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    sides = np.stack([x - boxes[:, 0], y - boxes[:, 1], boxes[:, 2] - x, boxes[:, 3] - y])
    apart = np.maximum(abs(x - (boxes[:, 0] + boxes[:, 2]) / 2), abs(y - (boxes[:, 1] + boxes[:, 3]) / 2))
    low, high = np.where(level == 0, 0, 3 * stride), np.where(level == LEVELS - 1, np.inf, 6 * stride)
    good = (apart <= 1.5 * stride) & (sides.min(0) > 0) & (sides.max(0) > low) & (sides.max(0) <= high)
    cost = np.where(good, area, np.inf)
    return np.where(np.isfinite(cost.min(1)), cost.argmin(1), -1)


def things(scene):
    """What the detector should find in a view: the targets of all cells, and the boxes of those that have one, in their order."""
    boxes = boxes_of(scene)
    targets = assign(boxes, scene.image.shape[0])
    return targets, boxes[targets[targets >= 0]]


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return F.relu(F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, 1e-6).permute(0, 3, 1, 2))


class DetectionHead(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.level = nn.ModuleList([nn.ConvTranspose2d(channels, WIDTH, 2, 2, bias=False), nn.Conv2d(channels, WIDTH, 1, bias=False),
                                    nn.Conv2d(channels, WIDTH, 2, 2, bias=False), nn.Conv2d(WIDTH, WIDTH, 2, 2, bias=False)])
        self.tower = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False) for _ in range(DEPTH))
        self.norms = nn.ModuleList(Norm(WIDTH) for _ in range(LEVELS + DEPTH))
        self.outputs = nn.Conv2d(WIDTH, OUTPUTS, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(LEVELS))
        nn.init.normal_(self.outputs.weight, std=0.01)
        nn.init.constant_(self.outputs.bias[:1], -4.6)

    def forward(self, embeddings):
        """[B][C][H][W] -> outputs f32 [B][cells][OUTPUTS], levels behind one another"""
        half = self.norms[2](self.level[2](embeddings))
        maps = [self.norms[0](self.level[0](embeddings)), self.norms[1](self.level[1](embeddings)), half, self.norms[3](self.level[3](half))]
        rows = []
        for x in maps:
            for conv, norm in zip(self.tower, self.norms[LEVELS:]):
                x = norm(conv(x))
            rows.append(self.outputs(x).flatten(2).transpose(1, 2).float())
        return torch.cat(rows, 1)


def detection_loss(head, embeddings, targets, boxes):
    """targets i64 [B][cells], boxes of the positive cells f32 [positives][4] in the order of targets -> loss, mean IoU"""
    outputs = head(embeddings)
    side = 16 * embeddings.shape[-1]
    positive = targets >= 0
    truth = positive.float()
    logit = outputs[..., OBJECTNESS]
    p = logit.sigmoid()
    p = p * truth + (1 - p) * (1 - truth)
    focal = (0.25 * truth + 0.75 * (1 - truth)) * (1 - p) ** 2 * F.binary_cross_entropy_with_logits(logit, truth, reduction="none")
    count = max(1, int(positive.sum()))
    if not positive.any():
        return focal.sum() / count, 0.0
    centre, stride, level = (torch.from_numpy(part)[positive.nonzero()[:, 1]] for part in cells_of(side))
    rows = outputs[positive]
    distance = torch.exp((head.scale[level, None] * rows[:, BOX]).clamp(max=6)) * stride[:, None]
    found = torch.cat([centre - distance[:, :2], centre + distance[:, 2:]], 1)
    inner = (torch.minimum(found[:, 2:], boxes[:, 2:]) - torch.maximum(found[:, :2], boxes[:, :2])).clamp(min=0).prod(1)
    hull = (torch.maximum(found[:, 2:], boxes[:, 2:]) - torch.minimum(found[:, :2], boxes[:, :2])).prod(1)
    union = (found[:, 2:] - found[:, :2]).prod(1) + (boxes[:, 2:] - boxes[:, :2]).prod(1) - inner
    iou = inner / union
    box = 2 * (1 - (iou - (hull - union) / hull))
    quality = F.binary_cross_entropy_with_logits(rows[:, QUALITY], iou.detach(), reduction="none")
    return (focal.sum() + box.sum() + quality.sum()) / count, float(iou.detach().mean())


def read(head, path):
    """The weights of a detector that maskmill trained on the encoder that training begins with."""
    from safetensors.torch import load_file

    kept = load_file(path)
    state = {"scale": kept["scale"], "outputs.bias": kept["outputs.bias"], "outputs.weight": kept["outputs.weight"].permute(0, 3, 1, 2)}
    for i in range(LEVELS):
        weight = kept[f"level.{i}.weight"]
        state[f"level.{i}.weight"] = weight.permute(3, 2, 0, 1) if i == 0 else weight.permute(0, 3, 1, 2)
    for i in range(DEPTH):
        state[f"tower.{i}.weight"] = kept[f"tower.{i}.weight"].permute(0, 3, 1, 2)
    for i in range(LEVELS + DEPTH):
        name = f"level.{i}" if i < LEVELS else f"tower.{i - LEVELS}"
        state[f"norms.{i}.weight"], state[f"norms.{i}.bias"] = kept[f"{name}.norm.weight"], kept[f"{name}.norm.bias"]
    head.load_state_dict(state)
