"""Golden data of the detector's training, by PyTorch and pycocotools.

    python make_golden.py        writes golden.json and golden.f32 beside itself

One small head, one image: targets, outputs, losses, gradients, and the parameters after two steps of AdamW; and COCO's
measures of made-up detections. The network is written with torch's own modules, from docs/detector.md."""

import contextlib
import io
import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

torch.manual_seed(0)
torch.set_num_threads(1)
rng = np.random.default_rng(7)
D, S, C, T = 16, 8, 16, 2
IMAGE_SIZE, WIDTH, HEIGHT = 128, 200, 160
SIDES = [2 * S, S, S // 2, S // 4]
RATE, DECAY, STEPS = 0.01, 0.05, 2


def parameters():
    """(name, shape as stored, decays), in the order of the file."""
    listed = []

    def layer(name, shape):
        listed.append((name + ".weight", shape, True))
        listed.append((name + ".norm.weight", (C,), False))
        listed.append((name + ".norm.bias", (C,), False))

    layer("level.0", (2, 2, C, D))
    layer("level.1", (C, 1, 1, D))
    layer("level.2", (C, 2, 2, D))
    layer("level.3", (C, 2, 2, C))
    for t in range(T):
        layer(f"tower.{t}", (C, 3, 3, C))
    listed.append(("outputs.weight", (6, 3, 3, C), True))
    listed.append(("outputs.bias", (6,), False))
    listed.append(("scale", (4,), False))
    return listed


def norm(x, p, name):
    return F.relu(F.layer_norm(x.permute(0, 2, 3, 1), (C,), p[name + ".norm.weight"], p[name + ".norm.bias"], 1e-6)
                  .permute(0, 3, 1, 2))


def conv(x, weight, **options):
    return F.conv2d(x, weight.permute(0, 3, 1, 2), **options)


def forward(embedding, p):
    """embedding [D][S][S] -> outputs [N][6]"""
    x = embedding[None]
    up = F.conv_transpose2d(x, p["level.0.weight"].permute(3, 2, 0, 1), stride=2)
    half = norm(conv(x, p["level.2.weight"], stride=2), p, "level.2")
    levels = [norm(up, p, "level.0"), norm(conv(x, p["level.1.weight"]), p, "level.1"), half,
              norm(conv(half, p["level.3.weight"], stride=2), p, "level.3")]
    rows = []
    for x in levels:
        for t in range(T):
            x = norm(conv(x, p[f"tower.{t}.weight"], padding=1), p, f"tower.{t}")
        x = conv(x, p["outputs.weight"], padding=1) + p["outputs.bias"][None, :, None, None]
        rows.append(x[0].permute(1, 2, 0).reshape(-1, 6))
    return rows


def assign(boxes, size):
    """boxes in pixels of the model's input; size of the unpadded input (width, height)"""
    targets = []
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for level, side in enumerate(SIDES):
        stride = IMAGE_SIZE / side
        at = (np.arange(side) + 0.5) * stride
        y, x = [grid.ravel()[:, None] for grid in np.meshgrid(at, at, indexing="ij")]
        sides = np.stack([x - boxes[:, 0], y - boxes[:, 1], boxes[:, 2] - x, boxes[:, 3] - y])
        near = np.maximum(abs(x - (boxes[:, 0] + boxes[:, 2]) / 2), abs(y - (boxes[:, 1] + boxes[:, 3]) / 2)) <= 1.5 * stride
        low = 0 if level == 0 else 3 * stride
        high = np.inf if level == 3 else 6 * stride
        good = near & (sides.min(0) > 0) & (sides.max(0) > low) & (sides.max(0) <= high)
        cost = np.where(good, area, np.inf)
        target = np.where(np.isfinite(cost.min(1)), cost.argmin(1), -1)
        target[((x >= size[0]) | (y >= size[1]))[:, 0]] = -2
        targets.append(target)
    return targets


def losses(rows, targets, boxes, p):
    total = dict(object=0.0, box=0.0, quality=0.0, iou=0.0, positive=0)
    for level, (row, target) in enumerate(zip(rows, targets)):
        side = SIDES[level]
        stride = IMAGE_SIZE / side
        used = torch.as_tensor(target != -2)
        positive = torch.as_tensor(target >= 0)
        logit, truth = row[:, 0][used], positive[used].float()
        p_t = torch.sigmoid(logit)
        p_t = p_t * truth + (1 - p_t) * (1 - truth)
        alpha = 0.25 * truth + 0.75 * (1 - truth)
        total["object"] = total["object"] + (
            alpha * (1 - p_t) ** 2 * F.binary_cross_entropy_with_logits(logit, truth, reduction="none")).sum()
        if not positive.any():
            continue
        index = np.flatnonzero(target >= 0)
        centre = torch.as_tensor(np.stack([index % side + 0.5, index // side + 0.5], 1) * stride, dtype=row.dtype)
        distance = torch.exp((p["scale"][level] * row[:, 2:][positive]).clamp(max=6)) * stride
        found = torch.cat([centre - distance[:, :2], centre + distance[:, 2:]], 1)
        wanted = torch.as_tensor(boxes[target[target >= 0]], dtype=row.dtype)
        inner = (torch.minimum(found[:, 2:], wanted[:, 2:]) - torch.maximum(found[:, :2], wanted[:, :2])).clamp(min=0).prod(1)
        hull = (torch.maximum(found[:, 2:], wanted[:, 2:]) - torch.minimum(found[:, :2], wanted[:, :2])).prod(1)
        union = (found[:, 2:] - found[:, :2]).prod(1) + (wanted[:, 2:] - wanted[:, :2]).prod(1) - inner
        iou = inner / union
        total["box"] = total["box"] + 2 * (1 - (iou - (hull - union) / hull)).sum()
        total["quality"] = total["quality"] + F.binary_cross_entropy_with_logits(
            row[:, 1][positive], iou.detach(), reduction="sum")
        total["iou"] += float(iou.detach().sum())
        total["positive"] += int(positive.sum())
    return total


def coco_case():
    """Detections of six made-up images, and COCO's AR@100 and AP50."""
    images = []
    for number in range(6):
        truths = rng.uniform(0, 150, (rng.integers(0, 12), 4))
        truths[:, 2:] = truths[:, :2] + rng.uniform(8, 80, (len(truths), 2))
        near = truths[rng.integers(0, len(truths), 3 * len(truths))] if len(truths) else truths
        noise = rng.normal(0, 1, near.shape) * rng.choice([0, 1, 4, 12], (len(near), 1))
        other = rng.uniform(0, 150, (40, 4))
        other[:, 2:] = other[:, :2] + rng.uniform(8, 80, (40, 2))
        found = np.concatenate([near + noise, other]) if len(near) else other
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        scores = np.sort(rng.choice(np.linspace(0.05, 1, 60), len(found)))[::-1]  # with ties
        found = rng.permutation(found)
        images.append(dict(truths=np.float32(truths).tolist(), boxes=np.float32(found).tolist(),
                           scores=np.float32(scores).tolist()))

    def xywh(box):
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    annotations, results = [], []
    for number, image in enumerate(images):
        for box in image["truths"]:
            annotations.append(dict(id=len(annotations) + 1, image_id=number + 1, category_id=1, iscrowd=0, bbox=xywh(box),
                                    area=xywh(box)[2] * xywh(box)[3]))
        for box, score in zip(image["boxes"], image["scores"]):
            results.append(dict(image_id=number + 1, category_id=1, bbox=xywh(box), score=score))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = dict(images=[dict(id=i + 1) for i in range(len(images))], annotations=annotations,
                             categories=[dict(id=1)])
        truth.createIndex()
        measure = COCOeval(truth, truth.loadRes(results), "bbox")
        measure.evaluate()
        measure.accumulate()
    recall = float(measure.eval["recall"][:, 0, 0, 2].mean())
    precision = float(measure.eval["precision"][0, :, 0, 0, 2].mean())
    return dict(images=images, recall=recall, precision50=precision)


def main():
    scale = IMAGE_SIZE / max(WIDTH, HEIGHT)
    size = int(WIDTH * scale + 0.5), int(HEIGHT * scale + 0.5)
    corners = np.array([[10, 12, 60, 70], [20, 20, 45, 50], [30, 28, 52, 66], [0, 0, 200, 160], [90, 40, 190, 150],
                        [100, 50, 180, 140], [120, 60, 140, 90], [64, 96, 80, 112], [150, 8, 176, 30]], np.float64)
    boxes = corners * np.tile([size[0] / WIDTH, size[1] / HEIGHT], 2)
    values = {}
    for name, shape, decays in parameters():
        if name.endswith("norm.weight"):
            value = 1 + 0.2 * torch.randn(shape)
        elif name == "scale":
            value = 1 + 0.1 * torch.randn(shape)
        elif name == "outputs.bias":
            value = torch.tensor([-1.5, 0.3, 0.9, 0.9, 0.9, 0.9]) + 0.1 * torch.randn(shape)
        elif decays:
            value = torch.randn(shape) * 0.15
        else:
            value = 0.1 * torch.randn(shape)
        values[name] = value.requires_grad_()
    embedding = torch.randn(D, S, S)
    first = torch.cat([value.detach().flatten() for value in values.values()])
    targets = assign(boxes, size)

    groups = [dict(params=[values[name] for name, _, decays in parameters() if decays], weight_decay=DECAY),
              dict(params=[values[name] for name, _, decays in parameters() if not decays], weight_decay=0.0)]
    optimiser = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.999), eps=1e-8)
    stored = {}
    for step in range(STEPS):
        optimiser.zero_grad()
        rows = forward(embedding, values)
        total = losses(rows, targets, boxes, values)
        (total["object"] + total["box"] + total["quality"]).backward()
        if step == 0:
            stored["outputs"] = torch.cat(rows).detach()
            stored["gradient"] = torch.cat([value.grad.flatten() for value in values.values()])
            numbers = {key: float(value) if isinstance(value, (int, float)) else value.item() for key, value in total.items()}
        optimiser.step()
    stored["stepped"] = torch.cat([value.detach().flatten() for value in values.values()])

    arrays = [embedding.permute(1, 2, 0).reshape(-1), first, stored["outputs"].flatten(), stored["gradient"],
              stored["stepped"]]
    folder = pathlib.Path(__file__).parent
    np.concatenate([array.numpy().astype("<f4") for array in arrays]).tofile(folder / "golden.f32")
    golden = dict(embed_dim=D, embedding_side=S, width=C, depth=T, image_size=IMAGE_SIZE, image=[WIDTH, HEIGHT],
                  boxes=corners.tolist(), targets=[int(t) for target in targets for t in target],
                  floats=[len(array) for array in arrays], losses=numbers, learning_rate=RATE, weight_decay=DECAY,
                  steps=STEPS, coco=coco_case())
    (folder / "golden.json").write_text(json.dumps(golden))
    print(numbers, {key: golden["coco"][key] for key in ("recall", "precision50")}, len(first))


if __name__ == "__main__":
    main()
