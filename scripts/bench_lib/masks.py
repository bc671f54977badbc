"""Masks of a dataset beside the true ones of the same photographs, both as COCO files."""

import dataclasses
import json
from pathlib import PurePath

import numpy as np
from pycocotools import mask as coco

HEADER = "masks an image", "precision at 0.75", "recall at 0.75", "recall at 0.5"
LEVELS = 0.75, 0.5


def by_name(path):
    """File name (its last component) to annotations, with run lengths as pycocotools wants them."""
    document = json.loads(path.read_text())
    names = {image["id"]: PurePath(image["file_name"]).name for image in document["images"]}
    found = {name: [] for name in names.values()}
    if len(found) != len(names):
        raise SystemExit(f"bench: {path} has photographs of one name in several folders")
    for annotation in document["annotations"]:
        rle = annotation["segmentation"]
        if not isinstance(rle["counts"], str):
            rle = coco.frPyObjects(rle, *rle["size"])
        found[names[annotation["image_id"]]].append({**annotation, "segmentation": rle})
    return found


def ious(some, others):
    """[some][others]"""
    if not some or not others:
        return np.zeros((len(some), len(others)))
    return coco.iou([a["segmentation"] for a in some], [b["segmentation"] for b in others], [0] * len(others))


class Image:
    """What one image's masks are worth. Masks are in their stored order: confident ones by falling score."""

    def __init__(self, found, truth):
        self.scores = np.float32([[a.get("detector_score") or 0, a.get("predicted_iou") or 0, a.get("stability_score") or 0]
                                  for a in found]).reshape(-1, 3)
        self.to_truth = ious(found, truth)
        self.truths = len(truth)
        self.best = self.to_truth.max(1, initial=0)
        self.among = np.tril(ious(found, found), -1)

    def kept(self, thresholds, duplicate):
        """As src/detect/confident.c does it: score and stability reach theirs, predicted IoU passes its own; then none twice."""
        score, iou, stability = np.float32(thresholds)
        keep = (self.scores[:, 0] >= score) & (self.scores[:, 1] > iou) & (self.scores[:, 2] >= stability)
        rows, columns = np.nonzero(self.among > duplicate)
        for row in np.unique(rows):
            if keep[row] and keep[columns[rows == row]].any():
                keep[row] = False
        return keep


@dataclasses.dataclass
class Figures:
    images: int
    masks: int
    right: int    # masks with an IoU of at least 0.75 with some true one
    truths: int
    covered: dict  # by IoU: true masks that some mask covers

    @property
    def precision(self):
        return self.right / self.masks if self.masks else 0.0

    @property
    def recall(self):
        return {level: count / self.truths if self.truths else 0.0 for level, count in self.covered.items()}

    def row(self):
        return [f"{self.masks / self.images:.1f}", f"{self.precision:.3f}", *(f"{self.recall[level]:.3f}" for level in LEVELS)]

    def as_dict(self):
        return {**dataclasses.asdict(self), "precision": self.precision, "recall": self.recall}


def compare(truth, dataset):
    """An Image for each photograph of the truth; one that the dataset lacks has no masks."""
    truth, found = by_name(truth), by_name(dataset)
    if not set(found) <= set(truth):
        raise SystemExit(f"bench: {dataset} has photographs that the truth does not know")
    return [Image(found.get(name, []), truth[name]) for name in sorted(truth)]


def judge(images, thresholds=(0, -1, 0), duplicate=1.0):
    figures = Figures(len(images), 0, 0, 0, dict.fromkeys(LEVELS, 0))
    for image in images:
        keep = image.kept(thresholds, duplicate)
        best = image.to_truth[keep].max(0, initial=0)
        figures.masks += int(keep.sum())
        figures.right += int((image.best[keep] >= 0.75).sum())
        figures.truths += image.truths
        for level in LEVELS:
            figures.covered[level] += int((best >= level).sum())
    return figures
