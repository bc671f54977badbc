"""Golden export: what pycocotools says of masks that the test draws by the same integer formula.

Run: python3 make_export.py > export.json   (needs numpy and pycocotools)
"""
import json

import numpy as np
from pycocotools import mask as coco

# (frame width, frame height, number of masks), as tests/shard/dataset_fixture.h draws them.
IMAGES = [(64, 48, 5), (31, 90, 3), (200, 150, 7)]


def ellipse(width, height, i):
    """Mask i: an ellipse, cut by the frame's edge for some, all decided in integers."""
    cx, cy = (i * 37 + 11) % width, (i * 23 + 7) % height
    rx, ry = 3 + i * 5 % 17, 2 + i * 7 % 13
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    return ((x - cx) * ry) ** 2 + ((y - cy) * rx) ** 2 <= (rx * ry) ** 2


def annotation(mask):
    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    x, y, w, h = coco.toBbox(rle).tolist()
    # The reference's boxes end in the last pixel; COCO's end behind it.
    return {"size": rle["size"], "counts": rle["counts"].decode(), "area": int(coco.area(rle)),
            "bbox": [x, y, w - 1, h - 1]}


print(json.dumps([[annotation(ellipse(w, h, i)) for i in range(n)] for w, h, n in IMAGES], indent=1))
