"""Golden values for tests/mask/test_polygon.c: polygons and their masks by pycocotools.

Usage: python make_polygon.py, in this folder. Needs numpy and pycocotools. A line is height, width, points, their
coordinates in hexadecimal, the compressed counts.
"""
import numpy as np
from pycocotools import mask as coco

rng = np.random.default_rng(7)


def star(height, width, spikes):
    angle = np.arange(spikes) * 2 * np.pi * (spikes // 2) / spikes
    return np.stack([width / 2 + 0.45 * width * np.cos(angle), height / 2 + 0.45 * height * np.sin(angle)], 1)


cases = [
    (10, 10, [[2, 2], [7, 2], [7, 7], [2, 7]]),
    (10, 10, [[2.5, 2.5], [7.5, 2.5], [7.5, 7.5], [2.5, 7.5]]),
    (10, 10, [[0, 0], [10, 0], [10, 10], [0, 10]]),
    (10, 10, [[-5, -5], [20, -5], [20, 20], [-5, 20]]),
    (12, 9, [[-3.3, 2], [4, -4.7], [17.2, 9], [5, 20.5]]),
    (10, 10, [[1, 1], [8, 8], [8, 1], [1, 8]]),
    (10, 10, [[3, 3], [3, 3], [8, 3], [8, 8], [8, 8], [3, 8]]),
    (10, 10, [[3, 3], [8, 3], [5, 3]]),
    (10, 10, [[11, 3], [18, 3], [15, 9]]),
    (10, 10, [[4, 1], [4, 8], [4, 5]]),
    (1, 1, [[0, 0], [1, 0], [1, 1], [0, 1]]),
    (40, 60, star(40, 60, 5)),
    (80, 50, star(80, 50, 9)),
    (100, 100, [[10, 10], [90, 10], [90, 90], [10, 90], [10, 10], [30, 30], [30, 70], [70, 70], [70, 30], [30, 30]]),
]
for _ in range(60):
    height, width = (int(n) for n in rng.integers(1, 120, 2))
    points = rng.uniform(-0.3, 1.3, (int(rng.integers(3, 40)), 2)) * [width, height]
    cases.append((height, width, points if rng.random() < 0.5 else np.round(points)))
for _ in range(20):
    height, width = (int(n) for n in rng.integers(20, 300, 2))
    angle = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(5, 200))))
    radius = rng.uniform(0.2, 0.5, len(angle))
    cases.append((height, width, np.stack([width * (0.5 + radius * np.cos(angle)),
                                           height * (0.5 + radius * np.sin(angle))], 1)))
with open("polygon.txt", "w") as out:
    for height, width, points in cases:
        flat = [float(c) for c in np.asarray(points, float).ravel()]
        counts = coco.frPyObjects([flat], height, width)[0]["counts"].decode()
        out.write(" ".join([str(height), str(width), str(len(flat) // 2), *[c.hex() for c in flat], counts]) + "\n")

# Unions and IoUs: masks a line, then their union, then the IoU and the shared pixels of the first two.
with open("combine.txt", "w") as out:
    for _ in range(40):
        height, width = (int(n) for n in rng.integers(1, 60, 2))
        bits = rng.random((height, width, int(rng.integers(2, 12)))) < rng.choice([0.02, 0.3, 0.7])
        rles = coco.encode(np.asfortranarray(bits.astype(np.uint8)))
        union = coco.merge(rles)
        iou = coco.iou(rles[:1], rles[1:2], [0])[0][0] if bits[..., :2].any() else 0.0
        out.write(" ".join([str(height), str(width), str(len(rles)), *[r["counts"].decode() for r in rles],
                            union["counts"].decode(), float(iou).hex(), str(int((bits[..., 0] & bits[..., 1]).sum()))])
                  + "\n")
