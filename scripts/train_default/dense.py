"""A second, cheaper question to the image encoder, in training only: hundreds of clicks an image, answered without the decoder.

A click costs the mask decoder two passes over the whole embedding, and ten of them teach the encoder little about an image with
forty things. Here a click's masks are products: of what a small network makes of the embedding under the click, with every
cell's embedding and position, and with every low-res pixel's features. Loss and targets are those of a click (losses.py).
One low-res pixel of each 2 x 2 is looked at, drawn anew each time. Nothing of this is exported."""

import numpy as np
import torch
from torch import nn

import losses
import scenes
from prompts import LEVELS

DETAIL = 24  # features of a low-res pixel


class DenseHead(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.cells = nn.Linear(2 * width, width)
        self.details = nn.Linear(2 * width, 16 * DETAIL)
        self.query = nn.Sequential(nn.Linear(2 * width + DETAIL, 2 * width), nn.GELU(), nn.Linear(2 * width, LEVELS * (width + DETAIL + 1)))
        self.width = width

    def forward(self, embeddings, encoding, clicks, pixels):
        """embeddings [B][C][H][W], the position's encoding of each cell [B][H * W][C]; clicks i64 [B][K] and pixels i64 [B][P], indices
        of low-res pixels -> logits [B][K][LEVELS][P]"""
        batch, width, side = embeddings.shape[0], self.width, embeddings.shape[-1]

        def at(features, index):
            return features.gather(1, index[..., None].expand(-1, -1, features.shape[-1]))

        def cell_of(index):
            return index // (4 * side) // 4 * side + index % (4 * side) // 4

        image = torch.cat([embeddings.flatten(2).transpose(1, 2), encoding.to(embeddings.dtype)], 2)
        details = self.details(image).view(batch, side, side, 4, 4, DETAIL).transpose(2, 3).reshape(batch, -1, DETAIL)
        query = self.query(torch.cat([at(image, cell_of(clicks)), at(details, clicks)], 2))
        query, offset = query.view(batch, -1, width + DETAIL + 1).split([width + DETAIL, 1], 2)
        keys = torch.cat([at(self.cells(image), cell_of(pixels)) * width ** -0.5, at(details, pixels)], 2)
        return (query @ keys.transpose(1, 2) + offset).unflatten(1, (-1, LEVELS))


def questions(rng, scene, count, least_area):
    """`count` clicks of a scene: pixels of the low-res grid i64 [K], the pixels looked at i64 [P], the nested masks there bool
    [K][LEVELS][P] and which of them are known, bool [K][LEVELS]. Half of the clicks lie anywhere, half in a node drawn at random, so that small things are asked for too."""
    leaf = scene.leaf[2::4, 2::4]
    nodes = scenes.visible_nodes(scene, least_area)
    member = np.zeros((len(nodes) + 1, len(scene.nodes)), bool)
    row_of = {node: row for row, node in enumerate(nodes)}
    for node, leaves in nodes.items():
        member[row_of[node], leaves] = True
    rows = np.array([[row_of.get(int(node), -1) for node in chain] for chain in scene.nodes])  # [leaves][LEVELS]
    answered = (rows >= 0).any(1)
    at = np.flatnonzero(answered[leaf.ravel()])
    if not len(at):
        return None
    clicks = at[rng.integers(len(at), size=count)]
    shown = member[:-1][:, leaf.ravel()]
    for i, row in enumerate(rng.integers(len(nodes), size=count // 2)):
        inside = np.flatnonzero(shown[row])
        if len(inside):
            clicks[i] = inside[rng.integers(len(inside))]
    y, x = np.mgrid[0:leaf.shape[0]:2, 0:leaf.shape[1]:2] + rng.integers(2, size=(2, leaf.shape[0] // 2, leaf.shape[1] // 2))
    pixels = (y * leaf.shape[1] + x).ravel()
    asked = rows[leaf.ravel()[clicks]]
    return clicks, pixels, shown[:, pixels][asked] & (asked >= 0)[..., None], asked >= 0


def dense_loss(head, embeddings, encoding, clicks, pixels, targets, known):
    """Mean loss, and IoU of the best masks; shapes as above, with a batch in front."""
    logits = head(embeddings, encoding, clicks, pixels).flatten(0, 1)
    loss, iou = losses.pair_losses(logits, targets.flatten(0, 1).float())
    known = known.flatten(0, 1)
    return losses.assign(loss, known).mean(), float((iou.max(1).values * known).sum() / known.sum())
