"""Draw the curves of one or more training logs, one after the other. Usage: curves.py LOG.jsonl ... OUT.png"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

PANELS = [("mask1", "mask loss, one click", (0, 3)), ("best1", "IoU at 1 click: best (dark), chosen (light)", (0, 1)),
          ("iou_error1", "error of predicted IoU", (0, 0.5))]
LIGHT = {"best1": "chosen1"}
WIDTH, HEIGHT, LEFT, TOP = 420, 240, 44, 34


def panel(lines, name, title, limits):
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    cv2.putText(picture, title, (LEFT - 30, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    low, high = limits
    wide, tall = WIDTH - LEFT - 10, HEIGHT - TOP - 24
    for i in range(5):
        y = TOP + tall * i // 4
        cv2.line(picture, (LEFT, y), (LEFT + wide, y), (225, 225, 225), 1)
        cv2.putText(picture, f"{high - (high - low) * i / 4:.2f}", (4, y + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.33, (90, 90, 90), 1, cv2.LINE_AA)
    total = lines[-1]["at"]
    cv2.putText(picture, f"{total} steps", (LEFT + wide - 70, HEIGHT - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (90, 90, 90), 1, cv2.LINE_AA)
    for key, colour in ((LIGHT.get(name), (230, 180, 120)), (name, (150, 60, 20))):
        points = [(LEFT + wide * line["at"] / total, TOP + tall * (1 - (np.clip(line[key], low, high) - low) / (high - low)))
                  for line in lines if key in line]
        cv2.polylines(picture, [np.int32(np.round(points))], False, colour, 1, cv2.LINE_AA)
    for line in lines:
        if line.get("begins"):
            x = LEFT + int(wide * line["begins"] / total)
            cv2.line(picture, (x, TOP), (x, TOP + tall), (60, 60, 220), 1)
    return picture


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", nargs="+")
    parser.add_argument("out")
    args = parser.parse_args()
    lines, before = [], 0
    for log in args.logs:
        found = [json.loads(line) for line in Path(log).read_text().splitlines()]
        for line in found:
            line["at"] = before + line["step"]
        found[0]["begins"] = before
        before = found[-1]["at"]
        lines += found
    cv2.imwrite(args.out, np.concatenate([panel(lines, *what) for what in PANELS], 1), [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
