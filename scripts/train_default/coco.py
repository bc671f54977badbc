"""Drawn scenes as photographs with answers: JPEGs and a COCO JSON.

    coco.py OUT --count 4000                # for training: split 0 from scene 800000 on, far from what the model has seen
    coco.py OUT --held-out --masks          # the 200 held-out scenes, which never change

OUT/images/*.jpg and OUT/instances.json: one category "object"; an annotation for each node that shows at least 400 pixels at
512 (and in proportion at other sides), as scenes.visible_nodes finds them. Boxes are edges, [x, y, width, height]: a mask of columns
3 to 7 has x 3 and width 5. With --masks there are uncompressed run lengths as well."""

import argparse
import hashlib
import json
import multiprocessing
import os
import pathlib

import cv2
import numpy as np

import scenes

LEAST_AREA = 400  # pixels at a side of 512
FIRST_FOR_TRAINING = 800000


def run_lengths(mask):
    """COCO's uncompressed counts: down the columns, zeros first."""
    flat = mask.T.ravel()
    ends = np.flatnonzero(np.diff(flat.view(np.int8))) + 1
    counts = np.diff(np.concatenate([[0], ends, [flat.size]]))
    return ([0] if flat[0] else []) + [int(count) for count in counts]


def annotate(scene, least_area, with_masks):
    found = []
    for node, leaves in sorted(scenes.visible_nodes(scene, least_area).items()):
        mask = scenes.node_mask(scene, leaves)
        columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        x, y = int(columns[0]), int(rows[0])
        entry = {"category_id": 1, "iscrowd": 0, "area": int(mask.sum()),
                 "bbox": [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y]}
        if with_masks:
            entry["segmentation"] = {"size": list(mask.shape), "counts": run_lengths(mask)}
        found.append(entry)
    return found


def draw(job):
    split, index, side, folder, with_masks = job
    scene = scenes.draw_scene(split, index, side)
    name = f"scene_{split}_{index:06d}.jpg"
    options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    if not cv2.imwrite(str(folder / name), cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR), options):
        raise OSError(f"cannot write {folder / name}")
    return name, annotate(scene, LEAST_AREA * side * side // (512 * 512), with_masks)


def write(out, split, first, count, side, with_masks, processes):
    folder = out / "images"
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(split, first + i, side, folder, with_masks) for i in range(count)]
    images, annotations = [], []
    with multiprocessing.Pool(processes) as pool:
        for number, (name, found) in enumerate(pool.imap(draw, jobs, chunksize=4), 1):
            images.append({"id": number, "file_name": name, "width": side, "height": side})
            for entry in found:
                annotations.append({"id": len(annotations) + 1, "image_id": number, **entry})
    coco = {"info": {"description": f"drawn scenes, generator {scenes.GENERATOR_VERSION}, split {split}, "
                                    f"{first} to {first + count - 1}, {side} pixels"},
            "images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
    text = json.dumps(coco, separators=(",", ":"))
    temporary = out / "instances.json.tmp"
    temporary.write_text(text)
    os.replace(temporary, out / "instances.json")
    boxes = json.dumps([[entry["image_id"], *entry["bbox"]] for entry in annotations])
    print(f"{count} scenes, {len(annotations)} boxes; digest of the boxes {hashlib.sha256(boxes.encode()).hexdigest()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--first", type=int, default=FIRST_FOR_TRAINING)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--side", type=int, default=scenes.HELD_OUT["side"])
    parser.add_argument("--masks", action="store_true", help="run lengths beside the boxes")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.held_out:
        held_out = scenes.HELD_OUT
        write(arguments.out, held_out["split"], held_out["first"], held_out["count"], held_out["side"], arguments.masks,
              arguments.processes)
    else:
        write(arguments.out, scenes.TRAINING_SPLIT, arguments.first, arguments.count, arguments.side, arguments.masks,
              arguments.processes)


if __name__ == "__main__":
    main()
