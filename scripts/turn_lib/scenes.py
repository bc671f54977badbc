"""scenes.py OUT --count N [--first N] [--side N]: drawn scenes of flowers, as JPEGs and a COCO file with their masks.

A model that does not know flowers takes each petal for a thing of its own; here the whole flower is the object, and
nothing else is. OUT/images/*.jpg and OUT/truth.json. A scene depends on its number alone. Needs Pillow."""

import argparse
import colorsys
import itertools
import json
import math
import pathlib
import random

from PIL import Image, ImageChops, ImageDraw, ImageFilter


def colour(rng, light):
    return tuple(round(255 * c) for c in colorsys.hls_to_rgb(rng.random(), light, rng.uniform(0.3, 0.9)))


def leaf(x, y, length, width, turn):
    """A pointed oval that begins at (x, y)."""
    along, across = (math.cos(turn), math.sin(turn)), (-math.sin(turn), math.cos(turn))
    half = [(t / 12, math.sin(math.pi * t / 12) ** 0.8) for t in range(13)]
    sides = half + [(t, -w) for t, w in reversed(half)]
    return [(x + t * length * along[0] + w * width / 2 * across[0], y + t * length * along[1] + w * width / 2 * across[1])
            for t, w in sides]


def meadow(rng, side):
    """Blades on a ground: nothing to be found."""
    picture = Image.new("RGB", (side, side), colour(rng, 0.3))
    draw = ImageDraw.Draw(picture)
    hue = rng.random()
    for _ in range(90):
        tone = tuple(round(255 * c) for c in colorsys.hls_to_rgb((hue + rng.uniform(-0.08, 0.08)) % 1,
                                                                rng.uniform(0.15, 0.5), rng.uniform(0.2, 0.6)))
        draw.polygon(leaf(rng.uniform(-0.1, 1) * side, rng.uniform(0, 1.1) * side, rng.uniform(0.1, 0.35) * side,
                          rng.uniform(0.015, 0.05) * side, rng.uniform(-2.4, -0.8)), fill=tone)
    return picture


def flower(rng, x, y, radius):
    """Its polygons and their colours: petals around a heart, with gaps between them."""
    petals, turn, inner = rng.randrange(5, 9), rng.uniform(0, 6.28), radius * rng.uniform(0.3, 0.4)
    tones = [colour(rng, rng.uniform(0.6, 0.85))]
    if rng.random() < 0.5 and petals % 2 == 0:
        tones.append(colour(rng, rng.uniform(0.3, 0.5)))
    width = 2 * math.pi * (inner + radius) / 2 / petals * rng.uniform(0.6, 0.8)
    parts = []
    for i in range(petals):
        a = turn + 2 * math.pi * i / petals
        parts.append((leaf(x + inner * math.cos(a), y + inner * math.sin(a), radius - inner, width, a),
                      tones[i % len(tones)]))
    heart = inner * rng.uniform(0.75, 0.9)
    parts.append(([(x + heart * math.cos(t / 4), y + heart * math.sin(t / 4)) for t in range(25)],
                  colour(rng, rng.choice([0.2, 0.9]))))
    return parts


def places(rng, side):
    """Circles that do not touch, largest first: (x, y, radius)."""
    found = []
    for radius in sorted((side * rng.uniform(0.09, 0.2) for _ in range(rng.randrange(4, 7))), reverse=True):
        for _ in range(60):
            x, y = rng.uniform(radius, side - radius), rng.uniform(radius, side - radius)
            if all(math.hypot(x - u, y - v) > radius + r + 4 for u, v, r in found):
                found.append((x, y, radius))
                break
    return found


def run_lengths(mask):
    """COCO's: down the columns, zeros first."""
    pixels = mask.transpose(Image.Transpose.TRANSPOSE).tobytes()
    runs = [(value, sum(1 for _ in group)) for value, group in itertools.groupby(pixels)]
    return ([0] if runs[0][0] else []) + [length for _, length in runs]


def draw_scene(number, side):
    """The picture, and a mask for each flower in it."""
    rng = random.Random(f"meadow {number}")
    picture, masks = meadow(rng, side), []
    for x, y, radius in places(rng, side):
        mask = Image.new("L", (side, side))
        for polygon, tone in flower(rng, x, y, radius):
            ImageDraw.Draw(picture).polygon(polygon, fill=tone)
            ImageDraw.Draw(mask).polygon(polygon, fill=255)
        masks.append(mask)
    noise = Image.frombytes("L", (side, side), rng.randbytes(side * side)).point([112 + v // 8 for v in range(256)])
    picture = ImageChops.add(picture.filter(ImageFilter.GaussianBlur(0.7)), noise.convert("RGB"), 1, -128)
    return picture, masks


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--side", type=int, default=512)
    options = parser.parse_args()
    (options.out / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(options.first, options.first + options.count):
        picture, masks = draw_scene(number, options.side)
        name = f"scene_{number:04d}.jpg"
        picture.save(options.out / "images" / name, quality=92)
        images.append({"id": number + 1, "file_name": name, "width": options.side, "height": options.side})
        for mask in masks:
            annotations.append({"id": len(annotations) + 1, "image_id": number + 1, "category_id": 1, "iscrowd": 0,
                                "segmentation": {"size": [options.side] * 2, "counts": run_lengths(mask)}})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
    (options.out / "truth.json").write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")


if __name__ == "__main__":
    main()
