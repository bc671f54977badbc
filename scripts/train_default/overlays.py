"""Draw the sheet of photographs with the masks that maskmill makes of them: the twelve of Debian's mate-backgrounds (nature),
which no training has seen. Usage: overlays.py MASKMILL MODEL.safetensors OUT.jpg"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np

FOLDER = Path("/usr/share/backgrounds/mate/nature")
PHOTOGRAPHS = ["Aqua", "Blinds", "Dune", "FreshFlower", "Garden", "GreenMeadow", "LadyBird", "RainDrops", "Storm", "TwoWings", "Wood",
               "YellowFlower"]
LONG_SIDE = 1200  # as people's photographs are given; the masks are made at this size
CELL = 300, 220
COLUMNS = 3


def fitted(image, text=None):
    """The image in a cell, on white."""
    scale = min(CELL[0] / image.shape[1], CELL[1] / image.shape[0])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cell = np.full((CELL[1] + 20, CELL[0], 3), 255, np.uint8)
    cell[20:20 + small.shape[0], :small.shape[1]] = small
    if text:
        cv2.putText(cell, text, (2, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return cell


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("maskmill")
    parser.add_argument("model")
    parser.add_argument("out")
    args = parser.parse_args()
    cells = []
    with tempfile.TemporaryDirectory() as folder:
        photograph, overlay, masks = (Path(folder) / name for name in ("photograph.jpg", "overlay.png", "masks.json"))
        for name in PHOTOGRAPHS:
            image = cv2.imread(str(FOLDER / f"{name}.jpg"))
            scale = LONG_SIDE / max(image.shape[:2])
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(photograph), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
            subprocess.run([args.maskmill, "segment", "-q", photograph, "-m", args.model, "-o", masks, "--overlay", overlay], check=True)
            count = len(json.loads(masks.read_text()))
            print(f"{name}: {count} masks")
            cells.append(np.concatenate([fitted(image, name), fitted(cv2.imread(str(overlay)), f"{count} masks")], 1))
    rows = [np.concatenate(cells[i:i + COLUMNS], 1) for i in range(0, len(cells), COLUMNS)]
    cv2.imwrite(args.out, np.concatenate(rows), [cv2.IMWRITE_JPEG_QUALITY, 82])


if __name__ == "__main__":
    main()
