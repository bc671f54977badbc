"""Draw a contact sheet of training scenes and their masks (finest level). Usage: contact_sheet.py OUT.jpg"""

import argparse

import cv2
import numpy as np

import scenes


def tinted(scene):
    """The scene's leaves in colours, over its grey image."""
    colours = np.random.default_rng(3).integers(40, 256, (len(scene.nodes), 3))
    grey = scene.image.mean(2, keepdims=True)
    return np.uint8(0.35 * grey + 0.65 * colours[scene.leaf])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    rows = []
    for row in range(args.rows):
        drawn = [scenes.draw_scene(scenes.TRAINING_SPLIT, args.first + row * args.columns + i, args.side) for i in range(args.columns)]
        for view in (lambda scene: scene.image, tinted):
            rows.append(np.concatenate([cv2.resize(view(scene), (160, 160), interpolation=cv2.INTER_AREA) for scene in drawn], 1))
    cv2.imwrite(args.out, np.concatenate(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])


if __name__ == "__main__":
    main()
