"""What both sides share, what they do not, and whether the difference lies within rounding of a decision.

When the final masks differ, the proof goes over the candidates, that is what passed the filters before duplicates were
removed:
1. every candidate that one side alone has lies within NEAR of a filter's threshold, and candidates that both have
   differ only in pixels whose logits are within NEAR of zero, and in scores by less than NEAR;
2. removing duplicates and small regions from maskmill's candidates with the reference's own code gives exactly
   maskmill's masks.
Then nothing but those near decisions can have made the difference."""

from itertools import permutations

import numpy as np
import torch
from pycocotools import mask as coco
from reference import NEAR
from segment_anything.utils.amg import MaskData, box_xyxy_to_xywh, coco_encode_rle, generate_crop_boxes
from segment_anything.automatic_mask_generator import SamAutomaticMaskGenerator
from torchvision.ops.boxes import batched_nms, box_area, pair_iou

EDGE = 20.0


def decode(annotation):
    return coco.decode(annotation["segmentation"])


def _mask_iou(a, b):
    return float(coco.iou([_bytes(a)], [_bytes(b)], [0])[0][0])


def _bytes(annotation):
    rle = annotation["segmentation"]
    counts = rle["counts"]
    return {"size": rle["size"], "counts": counts.encode() if isinstance(counts, str) else counts}


def prompt_key(annotation):
    point = np.float32(annotation["point_coords"][0])
    return tuple(float(v) for v in annotation["crop_box"]), float(point[0]), float(point[1])


def match(theirs, ours):
    """Pairs of indices of the same mask (same crop, point, and the best assignment of masks within a point), and the
    indices left over on either side."""
    groups = {}
    for side, annotations in enumerate((theirs, ours)):
        for i, annotation in enumerate(annotations):
            groups.setdefault(prompt_key(annotation), ([], []))[side].append(i)
    pairs = []
    for a, b in groups.values():
        swap = len(a) > len(b)
        short, long = (b, a) if swap else (a, b)
        best = max(permutations(long, len(short)),
                   key=lambda order: sum(_likeness(theirs, ours, i, j, swap) for i, j in zip(short, order)))
        for i, j in zip(short, best):
            if _likeness(theirs, ours, i, j, swap) > 0.5:
                pairs.append((j, i) if swap else (i, j))
    matched_a, matched_b = {a for a, _ in pairs}, {b for _, b in pairs}
    return (sorted(pairs), [i for i in range(len(theirs)) if i not in matched_a],
            [i for i in range(len(ours)) if i not in matched_b])


def _likeness(theirs, ours, i, j, swap):
    a, b = (theirs[j], ours[i]) if swap else (theirs[i], ours[j])
    apart = abs(a["predicted_iou"] - b["predicted_iou"])
    near = 1.0 - apart if apart < 1e-2 else 0.0  # of two outputs with the same pixels, the one with the nearer score
    return 0.5 * near + 0.5 * _mask_iou(a, b) if a["segmentation"]["counts"] != b["segmentation"]["counts"] else 0.5 * near + 0.5


def pair_figures(theirs, ours, pairs):
    """Over all pairs: mean and least mask IoU, and the largest differences of scores, boxes and points."""
    figures = {"pairs": len(pairs), "mean_iou": 1.0, "least_iou": 1.0, "score": 0.0, "stability": 0.0, "boxes": 0,
               "points": 0, "identical": 0, "order": [a for a, _ in pairs] == sorted(a for a, _ in pairs)}
    if not pairs:
        return figures
    overlaps = []
    for a, b in ((theirs[i], ours[j]) for i, j in pairs):
        same = a["segmentation"]["counts"] == b["segmentation"]["counts"]
        overlaps.append(1.0 if same else _mask_iou(a, b))
        figures["identical"] += same
        figures["score"] = max(figures["score"], abs(a["predicted_iou"] - b["predicted_iou"]))
        figures["stability"] = max(figures["stability"], abs(a["stability_score"] - b["stability_score"]))
        figures["boxes"] += a["bbox"] != b["bbox"]
        figures["points"] += prompt_key(a) != prompt_key(b)
    figures["order"] = [j for _, j in pairs] == sorted(j for _, j in pairs)
    figures["mean_iou"], figures["least_iou"] = float(np.mean(overlaps)), min(overlaps)
    return figures


def _straddles(low, high, threshold):
    return min(low, high) - NEAR <= threshold <= max(low, high) + NEAR


def _near_edge_undecided(look, image_size):
    """Whether the 20-pixel test turns out differently within the box's range, or stands exactly at its limit."""
    x0, y0, w, h = look["crop"]
    crop, frame = np.array([x0, y0, x0 + w, y0 + h]), np.array([0, 0, *image_size])
    answers = {bool(((abs(box - crop) <= EDGE) & ~(abs(box - frame) <= EDGE)).any()) for box in look["boxes"]}
    return len(answers) > 1


def why_one_sided(candidate, look, params, image_size):
    """The near decisions that can let a candidate pass on one side only; an empty list means none does."""
    reasons = []
    if params["pred_iou_thresh"] > 0 and abs(look["score"] - params["pred_iou_thresh"]) <= NEAR:
        reasons.append(f"predicted IoU {look['score']:.6f} at {params['pred_iou_thresh']:g}")
    if params["stability_score_thresh"] > 0 and _straddles(*look["stability"], params["stability_score_thresh"]):
        reasons.append(f"stability {candidate['stability_score']:.6f} at {params['stability_score_thresh']:g}")
    if _near_edge_undecided(look, image_size):
        reasons.append("box at the 20-pixel edge, moved by logits near zero")
    return reasons


def flips_are_near(look, other):
    """Whether all pixels in which the other side's mask differs have logits near zero; their number and worst ratio."""
    x0, y0, w, h = look["crop"]
    differs = torch.as_tensor(other[y0 : y0 + h, x0 : x0 + w].astype(bool)) ^ look["mask"]
    worst = float(look["logits"][differs].abs().max()) if bool(differs.any()) else 0.0
    return worst <= look["near"], int(differs.sum()), worst / look["near"] * NEAR if look["near"] else 0.0


def replay(candidates, params, image_size):
    """Duplicates and small regions removed from candidates by the reference's own steps."""
    width, height = image_size
    crops, _ = generate_crop_boxes((height, width), params["crop_n_layers"], params["crop_overlap_ratio"])
    kept = MaskData()
    for crop in crops:
        mine = [c for c in candidates if [int(v) for v in c["crop_box"]] == [crop[0], crop[1], crop[2] - crop[0], crop[3] - crop[1]]]
        if not mine:
            continue
        xywh = torch.tensor([c["bbox"] for c in mine], dtype=torch.float)
        boxes = torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)
        data = MaskData(boxes=boxes, iou_preds=torch.tensor([c["predicted_iou"] for c in mine]),
                        crop_boxes=torch.tensor([crop] * len(mine)), rles=[_runs(c) for c in mine], source=list(mine))
        data.filter(batched_nms(boxes, data["iou_preds"], torch.zeros(len(mine)), params["box_nms_thresh"]))
        kept.cat(data)
    if "rles" not in dict(kept.items()):
        return []
    if len(crops) > 1:
        kept.filter(batched_nms(kept["boxes"], 1 / box_area(kept["crop_boxes"]), torch.zeros(len(kept["rles"])),
                                params["crop_nms_thresh"]))
    kept.to_numpy()
    if params["min_mask_region_area"] > 0:
        kept = SamAutomaticMaskGenerator.postprocess_small_regions(
            kept, params["min_mask_region_area"], max(params["box_nms_thresh"], params["crop_nms_thresh"]))
    return [dict(source, segmentation=coco_encode_rle(rle), bbox=box_xyxy_to_xywh(box).tolist())
            for source, rle, box in zip(kept["source"], kept["rles"], kept["boxes"])]


def _runs(annotation):
    """Uncompressed runs, as the reference keeps them between its steps."""
    bits = decode(annotation)
    flat = bits.T.flatten()
    edges = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    runs = np.diff(edges).tolist()
    return {"size": list(bits.shape), "counts": runs if not flat[0] else [0] + runs}


def same_masks(a, b):
    return len(a) == len(b) and all(
        x["segmentation"]["counts"] == y["segmentation"]["counts"] and x["bbox"] == y["bbox"] and prompt_key(x) == prompt_key(y)
        for x, y in zip(a, b))


def xyxy(annotation):
    x, y, w, h = annotation["bbox"]
    return np.array([x, y, x + w, y + h], dtype=np.float32)


def why_missing(mask, kept, threshold):
    """In a line, what became of one side's mask on the other side."""
    overlap = pair_iou(xyxy(mask), np.array([xyxy(k) for k in kept]).reshape(-1, 4))
    near = [i for i in range(len(kept)) if overlap[i] > threshold - NEAR]
    if not near:
        return "did not pass the other side's filters, see its candidate"
    best = max(near, key=lambda i: kept[i]["predicted_iou"])
    gap = kept[best]["predicted_iou"] - mask["predicted_iou"]
    return f"a duplicate there of a mask with box IoU {overlap[best]:.6f} and a predicted IoU {gap:+.2e} away"


def explain_pixels(examiner, theirs, ours, pairs):
    """Whether pixels in which matched masks differ have logits near zero, and a line about them."""
    differing = [(theirs[i], ours[j]) for i, j in pairs
                 if theirs[i]["segmentation"]["counts"] != ours[j]["segmentation"]["counts"]]
    good, flips, furthest = True, 0, 0.0
    for a, b in sorted(differing, key=lambda pair: (pair[0]["crop_box"], pair[0]["point_coords"])):
        near, count, worst = flips_are_near(examiner.look(a, decode(a)), decode(b))
        good, flips, furthest = good and near, flips + count, max(furthest, worst)
    line = f"{flips} pixels in {len(differing)} masks differ; their logits are within {furthest:.1e} of zero" \
        + ("" if good else ": TOO FAR")
    return ([line] if differing else []), good


def explain(case, examiner, their_candidates, our_candidates, our_masks, image_size):
    """Lines of explanation and whether they explain everything; see the head of this file."""
    pairs, only_theirs, only_ours = match(their_candidates, our_candidates)
    lines, good = explain_pixels(examiner, their_candidates, our_candidates, pairs)
    alone = [("reference", their_candidates[i]) for i in only_theirs] + \
            [("maskmill", our_candidates[j]) for j in only_ours]
    for side, candidate in sorted(alone, key=lambda item: (item[1]["crop_box"], item[1]["point_coords"])):
        reasons = why_one_sided(candidate, examiner.look(candidate, decode(candidate)), case.params, image_size)
        good &= bool(reasons)
        lines.append("candidate of %s alone, point %.6g,%.6g: %s" % (
            side, *candidate["point_coords"][0], "; ".join(reasons) or "NO NEAR DECISION EXPLAINS IT"))
    for i, j in pairs:  # a score is a ratio of pixel counts: one pixel of a small mask is worth more than the bar
        a, b = their_candidates[i], our_candidates[j]
        if a["segmentation"]["counts"] == b["segmentation"]["counts"] and a["bbox"] != b["bbox"]:
            good = False
            lines.append(f"the same mask has the box {a['bbox']} and {b['bbox']}: OTHER BOXES")
        if abs(a["stability_score"] - b["stability_score"]) > 1e-3:
            low, high = examiner.look(a, decode(a))["stability"]
            good &= low - 1e-6 <= b["stability_score"] <= high + 1e-6
            lines.append(f"stability {a['stability_score']:.6f} and {b['stability_score']:.6f}; logits near the offset allow {low:.6f} to {high:.6f}")
    worst = max((abs(their_candidates[i]["predicted_iou"] - our_candidates[j]["predicted_iou"]) for i, j in pairs), default=0)
    if worst > NEAR:
        good = False
        lines.append(f"predicted IoU of candidates differs by {worst:.1e}: TOO FAR for ties")
    if not same_masks(replay(our_candidates, case.params, image_size), our_masks):
        good = False
        lines.append("removing duplicates from maskmill's candidates by the reference's code gives OTHER MASKS")
    return lines, good
