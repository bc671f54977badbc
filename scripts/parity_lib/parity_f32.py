"""A case in f32: the same numbers and the same masks, up to rounding. The bars (docs/parity.md): embeddings and low-res
logits within 1e-4 of their scale; the same masks with equal boxes and points, except those that lie within 1e-4 of a
decision; mean IoU of matched masks at least 0.999; predicted IoU and stability within 1e-3."""

import compare
import numpy as np
import reference
from sides import both_sides

BARS = {"embedding": 1e-4, "logits": 1e-4, "mean_iou": 0.999, "score": 1e-3, "stability": 1e-3}
COLUMNS = "{:<27}{:>10}{:>10}{:>10}{:>7}{:>7}{:>9}{:>10}{:>10}{:>10}{:>8}  {}"
HEADS = [("case", "embedding", "logits", "prompt", "masks", "same", "mean", "predicted", "stability", "boxes,", "not in", ""),
         ("", "error", "error", "IoU error", "", "", "IoU", "IoU error", "error", "points", "both", "")]


def relative_error(ours, theirs):
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def run_case(case, model, tools):
    """One row of the table: `case` on both sides."""
    sides = both_sides(case, model, tools)
    theirs, their_masks, our_masks = sides.theirs, sides.theirs.masks, sides.masks
    row = {"case": case.name, "embedding": relative_error(sides.embedding, theirs.embedding),
           "logits": relative_error(sides.logits, theirs.logits),
           "prompt_score": float(np.abs(sides.scores - theirs.scores).max()),
           "reference_seconds": theirs.seconds, "maskmill_seconds": sides.seconds}

    pairs, only_theirs, only_ours = compare.match(their_masks, our_masks)
    row.update(compare.pair_figures(their_masks, our_masks, pairs))
    row.update(masks=len(their_masks), candidates=len(theirs.candidates), only=len(only_theirs) + len(only_ours))
    same = not (row["only"] or row["boxes"] or row["points"]) and row["order"] and row["stability"] <= BARS["stability"]
    examiner = reference.Examiner(model.sam, sides.image, case.params)
    if same and not case.params["min_mask_region_area"]:
        lines, explained = compare.explain_pixels(examiner, their_masks, our_masks, pairs)
    elif same and row["identical"] == row["masks"]:
        lines, explained = [], True
    else:
        unfiltered = {**case.params, "box_nms_thresh": 1.0, "crop_nms_thresh": 1.0, "min_mask_region_area": 0}
        candidates = tools.segment(model.checkpoint, sides.picture, unfiltered, f"{case.name}.candidates")
        nms = case.params["box_nms_thresh"]
        lines = [f"mask of the reference alone: {compare.why_missing(their_masks[i], our_masks, nms)}" for i in only_theirs]
        lines += [f"mask of maskmill alone: {compare.why_missing(our_masks[j], their_masks, nms)}" for j in only_ours]
        proof, explained = compare.explain(case, examiner, theirs.candidates, candidates, our_masks,
                                           (sides.image.shape[1], sides.image.shape[0]))
        lines += proof
    row["explanation"] = lines
    row["pass"] = bool(explained and row["embedding"] <= BARS["embedding"] and row["logits"] <= BARS["logits"]
                       and row["prompt_score"] <= BARS["score"] and row["mean_iou"] >= BARS["mean_iou"]
                       and row["score"] <= BARS["score"] and their_masks)
    return row


def print_heads():
    for heads in HEADS:
        print(COLUMNS.format(*heads).rstrip())


def print_row(row):
    equal = "equal" if not row["boxes"] and not row["points"] else f"{row['boxes']},{row['points']}"
    print(COLUMNS.format(row["case"], f"{row['embedding']:.1e}", f"{row['logits']:.1e}", f"{row['prompt_score']:.1e}",
                         row["masks"], row["pairs"], f"{row['mean_iou']:.6f}", f"{row['score']:.1e}",
                         f"{row['stability']:.1e}", equal, row["only"], "PASS" if row["pass"] else "FAIL"))
    for line in row["explanation"]:
        print("    " + line)
