"""The table and the picture of a loop: figures.json of scripts/engine-loop. Usage: curves.py FIGURES.json OUT.png"""

import json
import pathlib
import sys

import cv2
import numpy as np

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 420, 280, 46, 34, 40
LINES = [("mosaics", (150, 60, 20)), ("scenes", (60, 140, 60))]  # BGR
PANELS = [("IoU at 1 click: of the answer (dark), of the best of three (light)",
           lambda one: (one["clicks"][0], one["clicks_best"][0])),
          ("IoU at 3 clicks", lambda one: (one["clicks"][2], None)),
          ("IoU by a box", lambda one: (one["box"], None))]


def table(result):
    """Markdown: a line for the model as it was, one for each round."""
    head = ("| | pictures, masks drawn | mosaics, 1 click | best of three | 3 clicks | box "
            "| scenes, 1 click | best of three | 3 clicks | box |\n|---|---|---|---|---|---|---|---|---|---|\n")
    rows = []
    for k, one in enumerate(result["figures"]):
        name = "the model as it was" if k == 0 else f"round {k}"
        drawn = "" if k == 0 else f"{result['images'][k]}, {result['masks'][k]}"
        cells = [f"{value:.3f}" for kind in ("mosaics", "scenes") for value in
                 (one[kind]["clicks"][0], one[kind]["clicks_best"][0], one[kind]["clicks"][2], one[kind]["box"])]
        cells[0] = f"**{cells[0]}**"
        rows.append("| " + " | ".join([name, drawn, *cells]) + " |\n")
    return head + "".join(rows)


def text(picture, words, x, y, size=0.36, colour=(60, 60, 60)):
    cv2.putText(picture, words, (int(x), int(y)), cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


def panel(title, figures, values):
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    text(picture, title, 10, 20, 0.38, (0, 0, 0))
    wide, tall = WIDTH - LEFT - 70, HEIGHT - TOP - BOTTOM
    for i in range(5):
        y = TOP + tall * i // 4
        cv2.line(picture, (LEFT, y), (LEFT + wide, y), (225, 225, 225), 1)
        text(picture, f"{0.8 - 0.2 * i:.1f}", 14, y + 4)
    across = [LEFT + wide * k // (len(figures) - 1) for k in range(len(figures))]
    for k, x in enumerate(across):
        text(picture, "before" if k == 0 else f"round {k}", x - 20, HEIGHT - 18)
    last = [values(figures[-1][kind])[0] for kind, _ in LINES]
    crowded = abs(last[0] - last[1]) * tall / 0.8 < 14
    for kind, colour in LINES:
        aside = 4 if not crowded else -4 if values(figures[-1][kind])[0] == max(last) else 12
        for which in (1, 0):
            found = [values(one[kind])[which] for one in figures]
            if None in found:
                continue
            tone = colour if which == 0 else tuple(int(c + (255 - c) * 0.6) for c in colour)
            points = np.int32([(x, TOP + tall * (1 - np.clip(value, 0, 0.8) / 0.8)) for x, value in zip(across, found)])
            cv2.polylines(picture, [points], False, tone, 2 if which == 0 else 1, cv2.LINE_AA)
            if which == 0:
                for point in points:
                    cv2.circle(picture, tuple(int(v) for v in point), 3, tone, -1, cv2.LINE_AA)
                text(picture, kind, points[-1][0] + 8, points[-1][1] + aside, 0.36, tone)
    return picture


def draw(result, path):
    pictures = [panel(title, result["figures"], values) for title, values in PANELS]
    if not cv2.imwrite(str(path), np.concatenate(pictures, 1), [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        raise OSError(f"cannot write {path}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    loaded = json.loads(pathlib.Path(sys.argv[1]).read_text())
    print(table(loaded))
    draw(loaded, sys.argv[2])
