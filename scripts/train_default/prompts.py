"""What the model is asked and what it should answer: scenes cut and flipped anew, clicks, boxes, error clicks, targets."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch

import scenes

LEVELS = 3    # nested targets of a click
STRIDE = 16   # pixels of an embedding's cell


@dataclass
class Batch:
    """images u8 [B][W][W][3], windows of images of side S whose first cells (x, y) are origins [B][2]; owner [N], the prompts'
    images; points f32 [N][2][2] as shares of S and labels [N][2]: a click and a "no point", or a box's corners; targets f32
    [N][LEVELS][L][L], the share of each low-res cell that is covered, `asked` [N] which of them is meant, `known` bool
    [N][LEVELS] which are there."""

    images: torch.Tensor
    origins: torch.Tensor
    owner: torch.Tensor
    points: torch.Tensor
    labels: torch.Tensor
    targets: torch.Tensor
    asked: torch.Tensor
    known: torch.Tensor


def augment(rng, scene):
    """Another view of a scene: a window of it, flipped, in other light. Same side."""
    side = scene.image.shape[0]
    image, leaf = scene.image, scene.leaf
    if rng.random() < 0.6:
        size = int(side * rng.uniform(0.45, 1))
        x, y = rng.integers(0, side - size + 1, 2)
        image = cv2.resize(image[y:y + size, x:x + size], (side, side), interpolation=cv2.INTER_LINEAR)
        leaf = cv2.resize(leaf[y:y + size, x:x + size], (side, side), interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        image, leaf = image[:, ::-1], leaf[:, ::-1]
    if rng.random() < 0.15:
        image, leaf = image.transpose(1, 0, 2), leaf.T
    table = 255 * (np.arange(256) / 255)[:, None] ** 2.0 ** rng.normal(0, 0.25) * 2.0 ** (rng.normal(0, 0.15) + rng.normal(0, 0.05, 3))
    image = np.stack([cv2.LUT(np.ascontiguousarray(image[..., c]), np.uint8(np.clip(table[:, c], 0, 255))) for c in range(3)], 2)
    return scenes.Scene(image, np.ascontiguousarray(leaf), scene.nodes)


def window_of(rng, view, size):
    """A window of a view, size x size pixels, and its first cell (x, y)."""
    origin = rng.integers(0, (view.image.shape[0] - size) // STRIDE + 1, 2)
    here = tuple(slice(at * STRIDE, at * STRIDE + size) for at in origin[::-1])
    return scenes.Scene(view.image[here], np.ascontiguousarray(view.leaf[here]), view.nodes), origin


def _click_in(rng, mask, coverage):
    """A pixel of the mask: anywhere, or drawn to its middle. coverage is the mask at low resolution."""
    low = (coverage > 0.5).astype(np.uint8)
    power = rng.choice([0, 1, 4])
    if low.any() and power:
        padded = cv2.copyMakeBorder(low, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        weight = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1].ravel().astype(np.float64) ** power
        cell = rng.choice(len(weight), p=weight / weight.sum())
        step = mask.shape[0] // low.shape[0]
        y, x = np.array(divmod(cell, low.shape[0])) * step + rng.integers(0, step, 2)
        if mask[y, x]:
            return int(x), int(y)
    at = np.flatnonzero(mask)
    y, x = divmod(int(at[rng.integers(len(at))]), mask.shape[1])
    return x, y


def _box_of(rng, mask):
    """The mask's box with the looseness of a human hand, x0 y0 x1 y1 in pixels."""
    side = mask.shape[0]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    found = np.array([columns[0], rows[0], columns[-1], rows[-1]], float)
    extent = np.array([found[2] - found[0], found[3] - found[1]] * 2)
    return np.clip(found + np.clip(rng.normal(0, 0.04, 4) * extent, -side / 25, side / 25), 0, side - 1)


def ask(rng, scene, count, least_area, box_share):
    """Prompts of one image or window: lists of points in pixels, labels, targets, asked, known."""
    side = scene.image.shape[0]
    low = side // 4
    nodes = scenes.visible_nodes(scene, least_area)
    asked_of = []
    if not nodes:
        return asked_of
    listed = list(nodes)
    masks, covers = {}, {}

    def mask_of(node):
        if node not in masks:
            masks[node] = scenes.node_mask(scene, nodes[node])
            covers[node] = cv2.resize(masks[node].astype(np.float32), (low, low), interpolation=cv2.INTER_AREA)
        return masks[node]

    for _ in range(count):
        if rng.random() < 0.3:  # as the grid of mask generation asks: anywhere
            x, y = (int(v) for v in rng.integers(0, side, 2))
            chain = [int(node) for node in scene.nodes[scene.leaf[y, x]] if int(node) in nodes]
            if not chain:
                continue
            node = chain[rng.integers(len(chain))]
            mask_of(node)
        else:
            node = listed[rng.integers(len(listed))]
            mask = mask_of(node)
            x, y = _click_in(rng, mask, covers[node])
            chain = [int(other) for other in scene.nodes[scene.leaf[y, x]] if int(other) in nodes]
        for other in chain:
            mask_of(other)
        targets = np.zeros((LEVELS, low, low), np.float32)
        for level, other in enumerate(chain):
            targets[level] = covers[other]
        known = np.arange(LEVELS) < len(chain)
        if rng.random() < box_share:
            points, labels = _box_of(rng, masks[node]).reshape(2, 2), [2, 3]
        else:
            points, labels = np.array([[x, y], [0, 0]], float), [1, -1]
        asked_of.append((points + 0.5, labels, targets, chain.index(node), known))
    return asked_of


def collate(views, origins, questions, side):
    """One batch from the scenes' views, or windows of them, and what is asked of each."""
    owner = torch.tensor([i for i, asked in enumerate(questions) for _ in asked])
    flat = [question for asked in questions for question in asked]
    points, labels, targets, asked, known = (np.stack([np.asarray(q[i]) for q in flat]) for i in range(5))
    origins = torch.from_numpy(np.stack(origins))
    points = (torch.from_numpy(points).float() + STRIDE * origins[owner, None]) / side
    return Batch(torch.from_numpy(np.stack([view.image for view in views])), origins, owner, points,
                 torch.from_numpy(labels), torch.from_numpy(targets), torch.from_numpy(asked), torch.from_numpy(known))


def error_clicks(generator, logits, target):
    """The next click of each prompt: in the region where mask and target differ, rather in its middle. logits, target
    [N][L][L] -> points [N][1][2] in low-res pixels, labels [N][1]."""
    side = logits.shape[-1]
    wrong = ((logits > 0) != (target > 0.5)).float()
    inner = torch.nn.functional.avg_pool2d(wrong[:, None], 5, 1, 2)[:, 0]
    weight = (wrong * inner ** 4).flatten(1)
    nothing = weight.sum(1) == 0
    weight[nothing] = (target[nothing] > 0.5).float().flatten(1) + 1e-6
    cell = torch.multinomial(weight, 1, generator=generator)[:, 0]
    label = (target.flatten(1).gather(1, cell[:, None]) > 0.5).long()
    at = torch.stack([cell % side, cell // side], 1).float()
    at = at + 0.5 + torch.rand(at.shape, generator=generator) * 0.5 - 0.25
    return at[:, None], label
