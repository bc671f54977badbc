"""Small patches of photographs that have no edges of their own, as textures for training scenes.

    patches.py OUT.npz FOLDER...     search the photographs under the folders

A patch that crosses a border would teach the model to ignore borders. So only windows are taken whose coarse picture
(1/16 of the size) is nearly even, and which look the same in each quarter. Photographs that the quickstart or an evaluation shows
must not be among them: mate-backgrounds is skipped by name."""

import argparse
from pathlib import Path

import cv2
import numpy as np

SIDE = 128


def even(window):
    """Whether a window (f32 [n][n][3], 0..255) is texture and nothing else."""
    grain = window.mean(2)
    strength = grain.std()
    coarse = cv2.resize(window, (8, 8), interpolation=cv2.INTER_AREA)
    quarters = np.array([part.std() for half in np.split(grain, 2) for part in np.split(half, 2, 1)])
    return strength > 3 and coarse.std((0, 1)).max() < 0.45 * strength and quarters.max() < 1.35 * quarters.min()


def search(path, rng, tries, wanted):
    image = cv2.imread(str(path))
    found = []
    if image is None or min(image.shape[:2]) < 4 * SIDE:
        return found
    for _ in range(tries):
        size = int(SIDE * 2 ** rng.uniform(0, 2))
        y, x = (int(rng.integers(0, length - size + 1)) for length in image.shape[:2])
        window = cv2.resize(image[y:y + size, x:x + size, ::-1], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        if even(window.astype(np.float32)):
            found.append(window)
            if len(found) == wanted:
                break
    return found


def sheets(path):
    """Texture sheets [2 SIDE][2 SIDE][3] of mean 0 and deviation 1, mirrored so that they tile."""
    with np.load(path) as file:
        patches = file["patches"].astype(np.float32)
    made = []
    for patch in patches:
        patch = (patch - patch.mean((0, 1))) / max(patch.mean(2).std(), 1)
        patch = np.clip(patch, -3, 3)
        top = np.concatenate([patch, patch[:, ::-1]], 1)
        made.append(np.concatenate([top, top[::-1]]))
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--tries", type=int, default=400, help="windows looked at in a photograph")
    parser.add_argument("--wanted", type=int, default=8, help="patches taken of a photograph at most")
    args = parser.parse_args()
    rng = np.random.default_rng(5)
    photographs = sorted(path for folder in args.folders for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    patches = []
    for path in photographs:
        if "mate" in path.parts or "BSDS" in str(path):
            continue
        found = search(path, rng, args.tries, args.wanted)
        patches += found
        print(f"{len(found):3d} {path.name}")
    np.savez_compressed(args.out, patches=np.array(patches, np.uint8))


if __name__ == "__main__":
    main()
