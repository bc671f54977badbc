"""Masks of two precisions: how well each of the reference's is found again, and why one is not.

Nothing is equal here, so masks are compared by their overlap alone: a mask of the reference is matched if any mask of
maskmill's has an IoU of at least MATCHED with it."""

import numpy as np
from compare import prompt_key, xyxy
from pycocotools import mask as coco
from torchvision.ops.boxes import pair_iou

MATCHED = 0.9
NO_FILTERS = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0, "crop_nms_thresh": 1.0,
              "min_mask_region_area": 0}
FILTERS = (("predicted IoU", "predicted_iou", "pred_iou_thresh"), ("stability", "stability_score", "stability_score_thresh"))


def _runs(annotations):
    return [{"size": a["segmentation"]["size"], "counts": a["segmentation"]["counts"].encode()} for a in annotations]


def overlaps(masks, others):
    """IoU [masks][others]."""
    if not masks or not others:
        return np.zeros((len(masks), len(others)))
    return np.asarray(coco.iou(_runs(masks), _runs(others), [0] * len(others)))


def best_overlaps(masks, others):
    """For each mask, its highest IoU with one of the others; 0 where there is none."""
    return overlaps(masks, others).max(1, initial=0.0)


def _box_iou(a, b):
    return float(pair_iou(xyxy(a), xyxy(b)[None])[0])


def _duplicate(twin, kept, threshold):
    """The kept mask that suppresses `twin`, or None."""
    boxes = np.array([xyxy(k) for k in kept]).reshape(-1, 4)
    over = [k for k, overlap in zip(kept, pair_iou(xyxy(twin), boxes)) if overlap > threshold]
    return max(over, key=lambda k: k["predicted_iou"], default=None)


def _twin(mask, others):
    """The mask that the same prompt gives on the other side, and its IoU; None and 0 where there is none."""
    twins = [c for c in others if prompt_key(c) == prompt_key(mask)]
    same = overlaps([mask], twins)[0]
    return (twins[int(same.argmax())], float(same.max())) if twins else (None, 0.0)


def why_unmatched(mask, candidates, unfiltered, kept, params):
    """What became of one of the reference's masks in maskmill: the decision that fell otherwise, how far both sides are from
    its threshold, and the best IoU among the kept ones. `candidates` are the reference's before it removes duplicates,
    `unfiltered` all that maskmill makes of the same prompts, `kept` its masks."""
    twin, same = _twin(mask, unfiltered)
    reason = {"best_iou": float(best_overlaps([mask], kept)[0]), "twin_iou": same}
    if same < MATCHED:
        return {**reason, "why": "shape"}
    for why, score, threshold in FILTERS:
        if 0 < params[threshold] and twin[score] <= params[threshold]:
            return {**reason, "why": why, "theirs": mask[score] - params[threshold], "ours": params[threshold] - twin[score]}
    other = _duplicate(twin, kept, params["box_nms_thresh"])
    if other is None:
        return {**reason, "why": "unknown"}
    there, same = _twin(other, candidates)
    reason.update(duplicate_iou=float(overlaps([mask], [other])[0][0]))
    if same < MATCHED:
        return {**reason, "why": "filter", "margin": min(other[score] - params[threshold] for _, score, threshold in FILTERS)}
    lead, lead_there = other["predicted_iou"] - twin["predicted_iou"], there["predicted_iou"] - mask["predicted_iou"]
    if lead_there <= 0:
        return {**reason, "why": "order", "lead": lead, "lead_there": -lead_there}
    reason.update(box_iou=_box_iou(twin, other), box_iou_there=_box_iou(mask, there))
    return {**reason, "why": "chain" if reason["box_iou_there"] > params["box_nms_thresh"] else "box"}


def _span(reasons, key, digits):
    values = [reason[key] for reason in reasons]
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"


LINES = {
    "shape": lambda those: f"another shape, IoU {_span(those, 'twin_iou', 3)} with what the same prompt gives here",
    "filter": lambda those: f"{_duplicate_of(those)}, which passed a filter here alone, by {_span(those, 'margin', 4)}",
    "order": lambda those: f"{_duplicate_of(those)}, its predicted IoU {_span(those, 'lead', 4)} higher here, "
                           f"{_span(those, 'lead_there', 4)} lower there",
    "box": lambda those: f"{_duplicate_of(those)}, whose box has IoU {_span(those, 'box_iou', 3)} with it here, "
                         f"{_span(those, 'box_iou_there', 3)} there",
    "chain": lambda those: f"{_duplicate_of(those)}, which there a third one removed",
    "unknown": lambda those: f"no decision that is known; best IoU among the kept ones {_span(those, 'best_iou', 2)}",
}


def _duplicate_of(those):
    return f"a duplicate (IoU {_span(those, 'duplicate_iou', 2)}) was kept instead"


def _dropped(those):
    return f"{those[0]['why']} {_span(those, 'theirs', 4)} above the threshold there, {_span(those, 'ours', 4)} below here; " \
           f"best IoU among the kept ones {_span(those, 'best_iou', 2)}"


def summary(reasons):
    """A line for each kind of reason."""
    kinds = {}
    for reason in reasons:
        kinds.setdefault(reason["why"], []).append(reason)
    return [f"{len(those)} unmatched: {LINES.get(why, _dropped)(those)}" for why, those in sorted(kinds.items())]
