"""Golden values for tests/mask: run lengths from pycocotools, hulls from OpenCV, small regions from segment_anything.

Usage: python make_mask.py, in this folder. Needs numpy, pycocotools, opencv-python-headless and segment-anything
(the latter imports torchvision, of which nothing is used here: a stand-in does).
"""
import sys
import types

import cv2
import numpy as np
from pycocotools import mask as coco

for name in ("torchvision", "torchvision.ops", "torchvision.ops.boxes", "torchvision.transforms",
             "torchvision.transforms.functional"):
    sys.modules.setdefault(name, types.ModuleType(name))
for name in ("batched_nms", "box_area"):
    setattr(sys.modules["torchvision.ops.boxes"], name, None)
for name in ("resize", "to_pil_image"):
    setattr(sys.modules["torchvision.transforms.functional"], name, None)
from segment_anything.utils.amg import remove_small_regions  # noqa: E402

rng = np.random.default_rng(20230405)


def blobs(height, width, density, smooth):
    noise = rng.standard_normal((height, width))
    if smooth:
        noise = cv2.GaussianBlur(noise, (0, 0), smooth)
    return noise > np.quantile(noise, 1 - density)


def counts(mask):
    return coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()


def runs(mask):
    flat = mask.flatten(order="F").astype(np.int8)
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return ([0] if flat[0] else []) + lengths


def hull(mask):
    y, x = np.nonzero(mask)
    if len(x) == 0:
        return 0.0
    corners = np.concatenate([np.stack([x + dx, y + dy], 1) for dx in (0, 1) for dy in (0, 1)])
    return cv2.contourArea(cv2.convexHull(corners.astype(np.int32)))


def describe(mask):
    height, width = mask.shape
    y, x = np.nonzero(mask)
    box = [x.min(), y.min(), x.max(), y.max()] if len(x) else [0, 0, 0, 0]
    centre = [x.mean() + 0.5, y.mean() + 0.5] if len(x) else [width / 2, height / 2]
    lengths = runs(mask)
    return " ".join(map(str, [height, width, len(lengths), *lengths, counts(mask), int(mask.sum()), *box,
                              *[float(c).hex() for c in centre], hull(mask)]))


shapes = [np.zeros((1, 1), bool), np.ones((1, 1), bool), np.zeros((7, 5), bool), np.ones((7, 5), bool),
          np.ones((1, 9), bool), np.ones((9, 1), bool), np.eye(11, dtype=bool), np.eye(64, 65, 1, dtype=bool)]
single = np.zeros((600, 700), bool)
single[599, 699] = True
shapes += [single, ~single, ~np.pad(np.ones((598, 698), bool), 1)]
columns = np.zeros((50, 40), bool)
columns[:, 3:9] = columns[10:20, 20] = columns[:, 39] = True
shapes.append(columns)
y, x = np.mgrid[:301, :403]
shapes += [(x - 200) ** 2 + (y - 150) ** 2 < 140 ** 2, (x - 200) ** 2 + (y - 150) ** 2 > 190 ** 2,
           np.abs(x - 200) * 3 + np.abs(y - 150) * 5 < 300]
shapes += [blobs(h, w, d, s) for h, w, d, s in
           [(8, 8, 0.5, 0), (33, 1, 0.5, 0), (1, 33, 0.5, 0), (65, 129, 0.3, 0), (40, 30, 0.02, 0), (120, 160, 0.4, 6),
            (160, 120, 0.05, 4), (300, 7, 0.6, 2), (90, 200, 0.9, 5)]]
with open("rle.txt", "w") as out:
    for mask in shapes:
        out.write(describe(mask) + "\n")

with open("small_regions.txt", "w") as out:
    def small(mask, min_area):
        holes, filled = remove_small_regions(mask, min_area, "holes")
        labels = cv2.connectedComponentsWithStats(holes.astype(np.uint8), 8)[2]
        largest = int(labels[1:, -1].max()) if len(labels) > 1 else 0
        result, dropped = remove_small_regions(holes, min_area, "islands")
        out.write(f"{mask.shape[0]} {mask.shape[1]} {min_area} {counts(mask)} {counts(result)} "
                  f"{int(filled or dropped)} {largest}\n")

    for mask in shapes[:7] + shapes[11:]:
        for min_area in (1, 2, 5, 30, 100, 100000):
            small(mask, min_area)
    # Few pixels: most masks have several largest pieces, and none of min_area, so the order of pieces decides.
    for _ in range(150):
        height, width = rng.integers(1, 14, 2)
        mask = rng.random((height, width)) < rng.choice([0.1, 0.2, 0.3])
        small(mask, 2)
        small(mask, int(rng.integers(3, 60)))
    for _ in range(60):
        small(blobs(*rng.integers(20, 90, 2), rng.uniform(0.1, 0.9), rng.choice([0.8, 1.2, 2])),
              int(rng.choice([2, 4, 9, 20, 60])))
