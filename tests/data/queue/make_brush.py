"""Golden values for tests/queue/test_brush.c: masks as Label Studio's own converter encodes and decodes them.

Usage: python make_brush.py, in this folder. Needs numpy, pycocotools and label-studio-converter (of which only brush.py is
used; it imports OpenCV and Pillow). A line is height, width, COCO's counts, the number of bytes and the bytes.
"""
import importlib.util
import pathlib
import sys

import numpy as np
from pycocotools import mask as coco

# Only this file: the package wants a server's libraries. label-studio-sdk has it as converter/brush.py.
for folder in map(pathlib.Path, sys.path):
    found = [p for p in (folder / "label_studio_converter/brush.py", folder / "label_studio_sdk/converter/brush.py")
             if p.exists()]
    if found:
        spec = importlib.util.spec_from_file_location("brush", found[0])
        brush = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(brush)
        break

rng = np.random.default_rng(3)
masks = [np.zeros((1, 1), bool), np.ones((1, 1), bool), np.ones((9, 4), bool), np.eye(13, 17, dtype=bool),
         np.zeros((200, 300), bool)]
masks[-1][50:120, 30:260] = True
y, x = np.mgrid[:211, :173]
masks.append((x - 90) ** 2 + (y - 100) ** 2 < 70 ** 2)
masks += [rng.random(rng.integers(1, 40, 2)) < p for p in (0.02, 0.5, 0.9)]
with open("brush.txt", "w") as out:
    for mask in masks:
        rgba = np.repeat((mask.astype(np.uint8) * 255).ravel(), 4)
        encoded = brush.encode_rle(rgba)
        assert np.array_equal(brush.decode_rle(encoded), rgba)
        counts = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        out.write(" ".join(map(str, [*mask.shape, counts, len(encoded), *encoded])) + "\n")
