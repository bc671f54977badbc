"""Cases in bf16: how far the numbers are from the reference's f32, and how many of its masks are found again.

The bar for masks is for a trained model on many photographs (BARS). Seeded models' masks lie near the thresholds and are frayed
by the way they are made, and single pictures have few; what is asked of all cases is that neither embedding nor logits are
further from f32 than PyTorch's own bf16 is."""

from math import sqrt

import numpy as np
import reference
import torch
from masks_bf16 import MATCHED, NO_FILTERS, best_overlaps, summary, why_unmatched
from sides import both_sides

BARS = {"matched": 0.98, "mean_iou": 0.99}
COLUMNS = "{:<27}{:>10}{:>9}{:>9}{:>10}{:>9}{:>9}{:>10}{:>9}{:>11}{:>6}{:>9}{:>9}  {}"
HEADS = [("case", "embedding", "", "PyTorch", "logits", "by the", "PyTorch", "predicted", "", "masks", "ours", "matched", "mean", ""),
         ("", "L2", "max", "bf16 L2", "L2", "encoder", "bf16 L2", "IoU, max", "mean", "reference", "", "%", "IoU", "")]


class Error:
    """Differences over several pictures: relative in length (L2), and the worst relative to a picture's scale."""

    def __init__(self):
        self.differences = self.squares = self.worst = 0.0

    def add(self, ours, theirs):
        apart = ours.astype(np.float64) - theirs
        self.differences += float(np.square(apart).sum())
        self.squares += float(np.square(theirs.astype(np.float64)).sum())
        self.worst = max(self.worst, float(np.abs(apart).max() / np.abs(theirs).max()))

    def length(self):
        return sqrt(self.differences / self.squares)


class Tally:
    """What is found over the pictures of a group."""

    def __init__(self):
        self.errors = {name: Error() for name in ("embedding", "torch_embedding", "logits", "logits_by_encoder", "torch_logits")}
        self.scores, self.overlaps, self.our_overlaps, self.unmatched = [], [], [], []
        self.reference_seconds = self.maskmill_seconds = 0.0

    def add_numbers(self, case, sides, model):
        theirs, size = sides.theirs, sides.image.shape[:2]
        by_encoder, _ = reference.decode(model.sam, torch.from_numpy(sides.embedding)[None], size, sides.prompts)
        torch_embedding, torch_logits = model.autocast(case, sides.picture, sides.prompts)
        for name, found, wanted in (("embedding", sides.embedding, theirs.embedding),
                                    ("torch_embedding", torch_embedding, theirs.embedding),
                                    ("logits", sides.logits, theirs.logits),
                                    ("logits_by_encoder", by_encoder, theirs.logits),
                                    ("torch_logits", torch_logits, theirs.logits)):
            self.errors[name].add(found, wanted)
        self.scores += np.abs(sides.scores - theirs.scores).ravel().tolist()

    def add_masks(self, case, sides, model, tools):
        theirs = sides.theirs
        found = best_overlaps(theirs.masks, sides.masks)
        self.overlaps += found.tolist()
        self.our_overlaps += best_overlaps(sides.masks, theirs.masks).tolist()
        self.reference_seconds += theirs.seconds
        self.maskmill_seconds += sides.seconds
        lost = [mask for mask, iou in zip(theirs.masks, found) if iou < MATCHED]
        if not lost:
            return
        unfiltered = tools.segment(model.checkpoint, sides.picture, {**case.params, **NO_FILTERS}, f"{case.name}.unfiltered")
        self.unmatched += [{"picture": case.name, "point": mask["point_coords"][0],
                            **why_unmatched(mask, theirs.candidates, unfiltered, sides.masks, case.params)} for mask in lost]

    def row(self):
        matched = [iou for iou in self.overlaps if iou >= MATCHED]
        return {**{f"{name}_l2": error.length() for name, error in self.errors.items()},
                **{f"{name}_max": error.worst for name, error in self.errors.items()},
                "score_max": max(self.scores), "score_mean": float(np.mean(self.scores)), "masks": len(self.overlaps),
                "our_masks": len(self.our_overlaps), "matched": len(matched),
                "our_matched": sum(iou >= MATCHED for iou in self.our_overlaps),
                "mean_iou": float(np.mean(matched)) if matched else 0.0, "unmatched": self.unmatched,
                "reference_seconds": self.reference_seconds, "maskmill_seconds": self.maskmill_seconds}


def run_group(group, model, tools):
    """One row of the table: all cases of `group` on both sides, their masks counted together."""
    tally = Tally()
    for case in group.cases:
        sides = both_sides(case, model, tools)
        tally.add_numbers(case, sides, model)
        tally.add_masks(case, sides, model, tools)
    row = {"case": group.name, **tally.row()}
    row["pass"] = bool(row["masks"] and row["embedding_l2"] <= row["torch_embedding_l2"]
                       and row["logits_l2"] <= row["torch_logits_l2"]
                       and (not group.trained or row["matched"] >= BARS["matched"] * row["masks"]
                            and row["mean_iou"] >= BARS["mean_iou"]))
    return row


def print_heads():
    for heads in HEADS:
        print(COLUMNS.format(*heads).rstrip())


def print_row(row):
    print(COLUMNS.format(row["case"], f"{row['embedding_l2']:.1e}", f"{row['embedding_max']:.1e}",
                         f"{row['torch_embedding_l2']:.1e}", f"{row['logits_l2']:.1e}", f"{row['logits_by_encoder_l2']:.1e}",
                         f"{row['torch_logits_l2']:.1e}", f"{row['score_max']:.1e}", f"{row['score_mean']:.1e}",
                         row["masks"], row["our_masks"], f"{100 * row['matched'] / max(row['masks'], 1):.1f}",
                         f"{row['mean_iou']:.5f}", "PASS" if row["pass"] else "FAIL"))
    for line in summary(row["unmatched"]):
        print("    " + line)
