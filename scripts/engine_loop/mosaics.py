"""Drawn mosaics with exact masks: the new family of the loop experiment (docs/engine-loop.md).

A picture is laid out of some hundred to some thousand tiles with joints between them. Each tile has a tone of its own, so
that a single tile, or a heap of like ones, is as conspicuous as what is meant: figures of many tiles. A figure's mask is all
its tiles that show, with the joints between them. The ground is no figure.

GENERATOR_VERSION, this file and HELD_OUT do not change any more: the figures in docs/ are for these pictures. A better
generator gets a new file.

    mosaics.py OUT --first 0 --count 60         # training pictures: OUT/images/*.jpg and OUT/truth.json
    mosaics.py OUT --held-out                   # those to measure with
    mosaics.py --digest                         # shows that they are still drawn alike
    mosaics.py --sheet mosaics.jpg              # some of them, every other one with its masks' outlines
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import pathlib

import cv2
import numpy as np

GENERATOR_VERSION = 1
TRAINING = 0
HELD_OUT = dict(split=1, first=0, count=60)
SIDE = 512
LEAST_TILES, LEAST_AREA = 8, 1200  # of a figure, as far as it shows
FINE = 2  # it is drawn this much larger

cv2.setNumThreads(1)


def colour(rng):
    """RGB of a glaze, 0 to 1: any hue, not too grey."""
    hsv = np.float32([[[rng.uniform(0, 360), rng.beta(2, 2.5), rng.uniform(0.25, 0.95)]]])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]


def new_colour(rng, others, least=0.3):
    """One that differs from all others; the best of some, if none does."""
    found = [colour(rng) for _ in range(40)]
    distances = [min((np.abs(one - other).sum() for other in others), default=9) for one in found]
    good = [one for one, distance in zip(found, distances) if distance >= least]
    return good[0] if good else found[int(np.argmax(distances))]


def turned(points, angle):
    c, s = np.cos(angle), np.sin(angle)
    return points @ np.array([[c, s], [-s, c]])


def lay(rng, side):
    """Sites of tiles, f64 [n][2], and for each pixel of a side*FINE square the tile that it is on, i32: the nearest site's."""
    size = rng.uniform(9, 22)
    kind = rng.integers(3)  # squares, bricks, hexagons
    n = int(side / size) + 3
    across, down = np.meshgrid(np.arange(-n, n + 1.0), np.arange(-n, n + 1.0))
    if kind:
        across = across + (0.5 if kind == 2 else rng.uniform(0.25, 0.5)) * (np.abs(down) % 2)
    stretch = np.sqrt(3) / 2 if kind == 2 else 2.0 ** rng.normal(0, 0.2)
    sites = np.stack([across.ravel(), down.ravel() * stretch], 1) * size
    sites += rng.normal(0, rng.choice([0.02, 0.08, 0.18]) * size, sites.shape)
    bend = rng.choice([0, 0, 0.12]) * size  # courses that are not quite straight
    sites[:, 1] += bend * np.sin(sites[:, 0] / (rng.uniform(3, 8) * size))
    sites = turned(sites, rng.uniform(0, np.pi)) + side / 2
    pixels = np.int32(np.round(sites * FINE))
    border = int(3 * size * FINE)  # tiles at the edge have their neighbours outside
    wide = side * FINE + 2 * border
    pixels += border
    inside = ((pixels >= 0) & (pixels < wide)).all(1)
    sites, pixels = sites[inside], pixels[inside]
    seeds = np.full((wide, wide), 255, np.uint8)
    seeds[pixels[:, 1], pixels[:, 0]] = 0
    _, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    number = np.zeros(labels.max() + 1, np.int32)
    number[labels[pixels[:, 1], pixels[:, 0]]] = np.arange(len(sites))
    return sites, number[labels[border:-border, border:-border]], size


def outline(rng, side):
    """A figure's outline, f32 [n][2] in pixels: a blob, a polygon, a star, or a winding band."""
    x, y = rng.uniform(0.05, 0.95, 2) * side
    radius = side * rng.uniform(0.08, 0.24)
    t = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    kind = rng.choice(["blob", "blob", "polygon", "star", "band"])
    if kind == "band":
        steps = np.cumsum(rng.normal(0, 0.5, 12)) + rng.uniform(0, 2 * np.pi)
        path = np.cumsum(np.stack([np.cos(steps), np.sin(steps)], 1), 0) * radius * 0.35
        across = np.stack([-np.sin(steps), np.cos(steps)], 1) * radius * rng.uniform(0.25, 0.45)
        return np.float32(np.concatenate([path + across, (path - across)[::-1]]) - path.mean(0) + [x, y])
    if kind == "blob":
        length = 1 + sum(0.18 * rng.normal() / k * np.cos(k * t + rng.uniform(0, 2 * np.pi)) for k in range(2, 6))
    elif kind == "polygon":
        corners = int(rng.integers(3, 8))
        length = np.cos(np.pi / corners) / np.cos((t % (2 * np.pi / corners)) - np.pi / corners) * 1.15
    else:
        length = 1 + rng.uniform(0.2, 0.45) * np.cos(int(rng.integers(3, 8)) * t)
    points = np.stack([np.cos(t), np.sin(t)], 1) * np.clip(length, 0.35, 1.9)[:, None] * [2.0 ** rng.normal(0, 0.3), 1]
    return np.float32(turned(points, rng.uniform(0, 2 * np.pi)) * radius + [x, y])


def compose(rng, sites, cell, side):
    """For each tile the figure that it belongs to, 0 for the ground, and their number; figures that hardly show are none."""
    owner = np.zeros(len(sites), np.int64)
    figures = int(rng.integers(4, 12))
    for figure in range(1, figures + 1):
        mask = cv2.fillPoly(np.zeros((side, side), np.uint8), [np.int32(np.round(outline(rng, side)))], 1)
        at = np.int32(np.round(sites))
        there = ((at >= 0) & (at < side)).all(1)
        at = np.clip(at, 0, side - 1)
        owner[there & (mask[at[:, 1], at[:, 0]] > 0)] = figure
    pixels = np.bincount(cell.ravel(), minlength=len(sites))
    shows = pixels > 0
    tiles = np.bincount(owner[shows], minlength=figures + 1)
    area = np.bincount(owner, weights=pixels, minlength=figures + 1) / FINE**2
    kept = (tiles >= LEAST_TILES) & (area >= LEAST_AREA)
    kept[0] = False
    number = np.where(kept, np.cumsum(kept), 0)
    return number[owner], int(kept.sum())


def glaze(rng, owner, figures):
    """RGB of each tile, f32 [n][3]."""
    bases = [colour(rng)]
    for _ in range(figures):
        bases.append(new_colour(rng, bases))
    out = np.zeros((len(owner), 3), np.float32)
    for figure, base in enumerate(bases):
        mine = np.flatnonzero(owner == figure)
        tone = 1 + rng.uniform(0.1, 0.28) * rng.standard_normal(len(mine))
        tiles = base * tone[:, None] + 0.05 * rng.standard_normal((len(mine), 3))
        if rng.random() < 0.4:  # some of them have another glaze
            other = rng.random(len(mine)) < rng.uniform(0.1, 0.35)
            tiles[other] = (0.4 * base + 0.6 * colour(rng)) * tone[other][:, None]
        out[mine] = tiles
    return np.clip(out, 0.01, 1)


def draw_picture(split, index, side=SIDE):
    """image u8 [side][side][3] RGB; masks bool [figures][side][side], which do not overlap."""
    rng = np.random.default_rng([7101, GENERATOR_VERSION, split, index, side])
    sites, cell, size = lay(rng, side)
    owner, figures = compose(rng, sites, cell, side)
    fine = glaze(rng, owner, figures)[cell]
    # each tile a little tilted to the light
    tilt = rng.normal(0, 0.05, (len(sites), 2)).astype(np.float32)[cell] / np.float32(size)
    rows, columns = np.mgrid[0:cell.shape[0], 0:cell.shape[1]].astype(np.float32) / FINE
    at = sites.astype(np.float32)[cell]
    fine *= (1 + tilt[..., 0] * (columns - at[..., 0]) + tilt[..., 1] * (rows - at[..., 1]))[..., None]
    joint = np.zeros(cell.shape, np.uint8)
    joint[:, 1:] |= cell[:, 1:] != cell[:, :-1]
    joint[1:] |= cell[1:] != cell[:-1]
    width = max(1, int(round(size * FINE * rng.uniform(0.05, 0.16))))
    joint = cv2.dilate(joint, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))) > 0
    fine[joint] = np.float32(rng.uniform(0.08, 0.85) * (0.85 + 0.15 * colour(rng)))
    image = cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA)
    angle = rng.uniform(0, 2 * np.pi)
    slope = (np.cos(angle) * columns[::FINE, ::FINE] + np.sin(angle) * rows[::FINE, ::FINE]) / side
    image *= (1 + rng.uniform(0, 0.4) * (slope - slope.mean()))[..., None]
    image += rng.normal(0, rng.uniform(0.003, 0.02), (side, side, 1)).astype(np.float32)
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 0.9))
    shown = owner[cell[FINE // 2::FINE, FINE // 2::FINE]]
    masks = [shown == figure for figure in range(1, figures + 1)]
    return (255 * np.clip(image, 0, 1)).astype(np.uint8), masks


def run_lengths(mask):
    """COCO's uncompressed counts: down the columns, zeros first."""
    flat = mask.T.ravel()
    ends = np.flatnonzero(np.diff(flat.view(np.int8))) + 1
    counts = np.diff(np.concatenate([[0], ends, [flat.size]]))
    return ([0] if flat[0] else []) + [int(count) for count in counts]


def write_one(job):
    split, index, folder = job
    image, masks = draw_picture(split, index)
    name = f"mosaic_{split}_{index:06d}.jpg"
    options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    if not cv2.imwrite(str(folder / name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options):
        raise OSError(f"cannot write {folder / name}")
    return name, [{"size": list(mask.shape), "counts": run_lengths(np.ascontiguousarray(mask))} for mask in masks]


def write(out, split, first, count, processes=1):
    """Pictures and their truth as COCO; truth.json comes last, whole."""
    folder = out / "images"
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    with multiprocessing.Pool(processes) as pool:
        for number, (name, masks) in enumerate(pool.imap(write_one, [(split, first + i, folder) for i in range(count)]), 1):
            images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
            for mask in masks:
                annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": 1, "iscrowd": 0,
                                    "segmentation": mask})
    about = f"mosaics, generator {GENERATOR_VERSION}, split {split}, {first} to {first + count - 1}, {SIDE} pixels"
    coco = {"info": {"description": about}, "images": images, "annotations": annotations,
            "categories": [{"id": 1, "name": "object"}]}
    draft = out / "truth.json.tmp"
    draft.write_text(json.dumps(coco, separators=(",", ":")))
    os.replace(draft, out / "truth.json")
    return len(annotations)


def digest(count=8):
    """SHA-256 over the first held-out pictures and masks."""
    total = hashlib.sha256()
    for index in range(count):
        image, masks = draw_picture(HELD_OUT["split"], HELD_OUT["first"] + index)
        total.update(image.tobytes())
        for mask in masks:
            total.update(np.packbits(mask).tobytes())
    return total.hexdigest()


def sheet(path, across=6, down=2):
    """Some held-out pictures, every other one with the outlines of its masks."""
    pictures = []
    for index in range(across * down):
        image, masks = draw_picture(HELD_OUT["split"], HELD_OUT["first"] + index)
        if index % 2:
            for mask in masks:
                outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
                cv2.drawContours(image, outlines, -1, (255, 255, 255), 7)
                cv2.drawContours(image, outlines, -1, (255, 0, 200), 3)
        pictures.append(cv2.resize(image, (SIDE * 2 // 5,) * 2, interpolation=cv2.INTER_AREA))
    rows = [np.concatenate(pictures[across * k:across * (k + 1)], 1) for k in range(down)]
    if not cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85]):
        raise OSError(f"cannot write {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path, nargs="?")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--digest", action="store_true")
    parser.add_argument("--sheet", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.digest:
        print(digest())
        return
    if arguments.sheet:
        sheet(arguments.sheet)
        return
    if not arguments.out:
        parser.error("name the folder that is to be written")
    what = HELD_OUT if arguments.held_out else dict(split=TRAINING, first=arguments.first, count=60)
    what = {**what, "count": arguments.count or what["count"]}
    found = write(arguments.out, **what, processes=arguments.processes)
    print(f"{what['count']} pictures with {found} figures; {arguments.out}/truth.json")


if __name__ == "__main__":
    main()
