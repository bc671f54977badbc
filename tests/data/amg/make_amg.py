"""Golden values for tests/amg, made by the reference's own code.

Usage: python make_amg.py, in this folder. Needs numpy, torch, opencv-python-headless, pycocotools, segment-anything.
torchvision is not needed: its batched_nms for one category is written out below.

Logits come from formulas that tests/amg/fields.h computes with the same bits. Seeds are chosen so that no pixel lies
within MARGIN of a threshold, where the order of roundings would decide.
"""
import sys
import types

import numpy as np
import torch
import torch.nn.functional as F
from pycocotools import mask as coco

MARGIN = 2e-6


def batched_nms(boxes, scores, categories, iou_threshold):
    """torchvision's CPU kernel: float IoU against a double threshold, stable order."""
    boxes, scores = boxes.numpy(), scores.numpy()
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = np.argsort(-scores, kind="stable")
    suppressed = np.zeros(len(boxes), bool)
    keep = []
    for n, i in enumerate(order):
        if suppressed[i]:
            continue
        keep.append(i)
        rest = order[n + 1:]
        size = np.minimum(boxes[i, 2:], boxes[rest, 2:]) - np.maximum(boxes[i, :2], boxes[rest, :2])
        inter = np.prod(np.maximum(size, np.float32(0)), axis=1, dtype=np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            iou = inter / (area[i] + area[rest] - inter)
        suppressed[rest] |= iou.astype(np.float64) > iou_threshold
    return torch.as_tensor(np.array(keep, dtype=np.int64))


for name in ("torchvision", "torchvision.ops", "torchvision.ops.boxes", "torchvision.transforms",
             "torchvision.transforms.functional"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["torchvision.ops.boxes"].batched_nms = batched_nms
sys.modules["torchvision.ops.boxes"].box_area = lambda b: (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
sys.modules["torchvision.transforms.functional"].resize = None
sys.modules["torchvision.transforms.functional"].to_pil_image = None

from segment_anything.automatic_mask_generator import SamAutomaticMaskGenerator  # noqa: E402
from segment_anything.modeling.sam import Sam  # noqa: E402
from segment_anything.utils.amg import (batched_mask_to_box, build_point_grid, coco_encode_rle,  # noqa: E402
                                        generate_crop_boxes, mask_to_rle_pytorch)
from segment_anything.utils.transforms import ResizeLongestSide  # noqa: E402


def upsample(logits, image_size, input_size, size):
    model = types.SimpleNamespace(image_encoder=types.SimpleNamespace(img_size=image_size))
    return Sam.postprocess_masks(model, logits, input_size, size)


def margin(logits, offset):
    return min(float((logits - t).abs().min()) for t in (-offset, 0.0, offset))


def write_crops(out):
    for width, height in [(1800, 1200), (1200, 1800), (6000, 4000), (2250, 1500), (1024, 1024), (1333, 999), (40, 30),
                          (7, 5), (2, 300), (300, 1), (1, 1)]:
        for layers in (0, 1, 2, 3):
            for ratio in (512 / 1500, 0.0, 0.1, 0.5, 1.0):
                boxes, indices = generate_crop_boxes((height, width), layers, ratio)
                kept = [(*b, i) for b, i in zip(boxes, indices) if b[0] < b[2] and b[1] < b[3]]
                if layers < 3 or ratio in (512 / 1500, 0.5):
                    flat = " ".join(str(v) for row in kept for v in row)
                    out.write(f"{width} {height} {layers} {ratio.hex()} {len(kept)} {flat}\n")


def write_grids(out):
    for n in (1, 2, 3, 4, 7, 8, 16, 31, 32, 64):
        x = build_point_grid(n)[:n, 0]
        out.write(f"{n} " + " ".join(float(v).hex() for v in x) + "\n")


def field(low, cells, seed, amplitude, bias):
    """Bilinear patches between random integers: every value is a multiple of 1/64 and a float."""
    state, nodes = seed, []
    for _ in range((cells + 1) ** 2):
        state = (state * 1664525 + 1013904223) % 2 ** 32
        nodes.append((state >> 16) % 129 - 64)
    nodes = np.array(nodes, dtype=np.int64).reshape(cells + 1, cells + 1)
    step = low // cells
    i, f = np.divmod(np.arange(low), step)
    rows = nodes[i] * (step - f)[:, None] + nodes[i + 1] * f[:, None]
    values = rows[:, i] * (step - f) + rows[:, i + 1] * f
    return (values * amplitude / (64.0 * step * step) + bias).astype(np.float32)


def write_upsampling(out):
    cases = [  # width, height, image_size, low, cells, amplitude, bias, offset
        (1800, 1200, 1024, 256, 8, 64, 0.0, 1.0), (1200, 1800, 1024, 256, 8, 64, 3.0, 1.0),
        (1800, 1200, 1024, 256, 8, 64, -40.0, 1.0), (40, 30, 1024, 256, 16, 32, 0.5, 1.0),
        (300, 7, 1024, 256, 16, 32, 0.0, 1.0), (7, 300, 1024, 256, 16, 32, 0.0, 0.5),
        (640, 640, 256, 64, 8, 16, 0.0, 1.0), (500, 333, 256, 64, 16, 16, -8.0, 2.0), (100, 80, 64, 64, 8, 16, 0.0, 1.0),
        (90, 70, 64, 256, 32, 16, 0.0, 1.0), (33, 77, 80, 20, 5, 8, 0.0, 0.0), (128, 64, 64, 16, 4, 8, -200.0, 1.0),
        (128, 64, 64, 16, 4, 8, 200.0, 1.0), (1, 1, 64, 16, 4, 8, 2.0, 1.0), (64, 64, 64, 16, 4, 8, 1.0, 1.0)]
    for width, height, image_size, low, cells, amplitude, bias, offset in cases:
        scale = image_size / max(width, height)
        input_size = (int(height * scale + 0.5), int(width * scale + 0.5))
        for seed in range(1, 1000):
            logits = field(low, cells, seed, amplitude, bias)
            full = upsample(torch.from_numpy(logits)[None, None], image_size, input_size, (height, width))
            if margin(full, offset) > MARGIN:
                break
        else:
            raise SystemExit(f"no seed for {width} x {height}")
        mask = full[0] > 0
        box = batched_mask_to_box(mask)[0].tolist()
        counts = coco_encode_rle(mask_to_rle_pytorch(mask)[0])["counts"]
        out.write(" ".join(map(str, [width, height, input_size[1], input_size[0], image_size, low, cells, seed,
                                     amplitude, bias, offset, int((full > -offset).sum()), int((full > offset).sum()),
                                     int(mask.sum()), *box, counts])) + "\n")


def write_positions(out):
    """The share of odd samples in every seventh output shows the weights. Those of 1024 to 1800 differ from a plain
    product and difference in floats at three places."""
    for before, after in ((1024, 1800), (683, 1200), (1024, 6000), (1024, 40), (24, 7)):
        odd = (torch.arange(before) % 2).float().view(1, 1, 1, before)
        shares = F.interpolate(odd, (1, after), mode="bilinear", align_corners=False)[0, 0, 0].numpy()
        position = np.float32(before) / np.float32(after) * (np.arange(after, dtype=np.float32) + np.float32(0.5))
        share = np.maximum(position - np.float32(0.5), 0) % 2
        share = np.where(share > 1, 2 - share, share)
        chosen = np.flatnonzero((np.arange(after) % 7 == 0) | ((shares != share) & (after < 2000)))
        out.write(f"{before} {after} {len(chosen)} " + " ".join(f"{i} {float(shares[i]).hex()}" for i in chosen) + "\n")


def mix(x):
    x = np.asarray(x, dtype=np.uint64) & 0xFFFFFFFF
    x = ((x ^ (x >> np.uint64(16))) * np.uint64(0x7FEB352D)) & np.uint64(0xFFFFFFFF)
    x = ((x ^ (x >> np.uint64(15))) * np.uint64(0x846CA68B)) & np.uint64(0xFFFFFFFF)
    return int(x ^ (x >> np.uint64(16)))


LOW, IMAGE_SIZE = 64, 256


def draw(salt, crop, prompt, mask, what, n):
    return mix(mix(salt) + mix(((crop * 4096 + prompt) * 4 + mask) * 16 + what)) % n


def fake_iou(salt, crop, prompt, mask):
    return np.float32((draw(salt, crop, prompt, mask, 0, 700) + 324) / 1024 - (draw(salt, crop, prompt, mask, 1, 9) == 0))


def fake_logits(salt, crop, prompt, mask):
    """A disc around one of a few places, with an island, a hole, and an edge of its own steepness."""
    def d(what, n):
        return draw(salt, crop, prompt, mask, what, n)

    y, x = np.mgrid[:LOW, :LOW].astype(np.int64) * 4

    def disc(cx, cy, r):
        return r * r - (x - cx) ** 2 - (y - cy) ** 2

    place = d(2, 14)
    cx, cy = 16 + mix(9000 + place) % 220 + d(3, 5), 16 + mix(9100 + place) % 160 + d(4, 5)
    r = 14 + d(5, 50)
    v = disc(cx, cy, r)
    v = np.minimum(v, -disc(cx + d(6, 20) - 10, cy + d(7, 20) - 10, d(8, 12)))
    v = np.maximum(v, disc(cx + r + 8 + d(9, 12), cy + d(10, 30) - 15, d(11, 12)))
    if d(12, 12) == 0:
        v = np.full_like(v, -1000)
    return (v * (2 + d(13, 7)) / 64.0).astype(np.float32) + np.float32(0.0137)


class FakePredictor:
    """A SamPredictor whose masks depend on nothing but the numbers of the crop, the prompt and the mask."""
    transform = ResizeLongestSide(IMAGE_SIZE)
    model = types.SimpleNamespace(mask_threshold=0.0)
    device = torch.device("cpu")

    def __init__(self, salt, iou_thresh, offset):
        self.salt, self.iou_thresh, self.offset = salt, iou_thresh, offset
        self.crop, self.margin = -1, 1.0

    def set_image(self, image):
        self.crop += 1
        self.prompt = 0
        self.size = image.shape[:2]
        self.input_size = ResizeLongestSide.get_preprocess_shape(*self.size, IMAGE_SIZE)

    def reset_image(self):
        pass

    def predict_torch(self, points, labels, multimask_output, return_logits):
        numbers = [(self.prompt + i, m) for i in range(len(points)) for m in (1, 2, 3)]
        self.prompt += len(points)
        iou = np.array([fake_iou(self.salt, self.crop, p, m) for p, m in numbers], np.float32).reshape(-1, 3)
        low = np.stack([fake_logits(self.salt, self.crop, p, m) for p, m in numbers])
        masks = upsample(torch.from_numpy(low).reshape(-1, 3, LOW, LOW), IMAGE_SIZE, self.input_size, self.size)
        used = masks[torch.from_numpy(iou) > self.iou_thresh]
        if len(used):
            self.margin = min(self.margin, margin(used, self.offset))
        return masks, torch.from_numpy(iou), None


def write_pipeline(out):
    defaults = dict(points_per_side=8, pred_iou_thresh=0.88, stability_score_thresh=0.95, stability_score_offset=1.0,
                    box_nms_thresh=0.7, crop_n_layers=0, crop_nms_thresh=0.7, crop_overlap_ratio=512 / 1500,
                    crop_n_points_downscale_factor=1, min_mask_region_area=0)
    cases = [
        ("one_crop", 200, 150, dict(points_per_side=16)),
        ("portrait", 150, 200, dict(stability_score_thresh=0.9, box_nms_thresh=0.5)),
        ("crops", 400, 300, dict(crop_n_layers=1, crop_n_points_downscale_factor=2, stability_score_thresh=0.9)),
        ("two_layers", 300, 400, dict(crop_n_layers=2, crop_n_points_downscale_factor=2, pred_iou_thresh=0.9,
                                      stability_score_thresh=0.9, crop_nms_thresh=0.3)),
        ("cleaned", 240, 180, dict(points_per_side=12, min_mask_region_area=60, stability_score_thresh=0.8, box_nms_thresh=0.8)),
        ("cleaned_crops", 300, 300, dict(crop_n_layers=1, min_mask_region_area=150, pred_iou_thresh=0.85,
                                         stability_score_thresh=0.9, points_per_side=6, crop_overlap_ratio=0.2)),
        ("no_filters", 100, 80, dict(points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.0,
                                     crop_n_layers=1, crop_n_points_downscale_factor=2)),
        ("no_filters_cleaned", 90, 120, dict(points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.0,
                                             crop_n_layers=1, crop_n_points_downscale_factor=2,
                                             min_mask_region_area=40, crop_nms_thresh=0.9)),
        ("nothing_left", 200, 150, dict(pred_iou_thresh=0.999)),
    ]
    for name, width, height, changes in cases:
        params = {**defaults, **changes}
        for salt in range(1, 300):
            predictor = FakePredictor(salt, params["pred_iou_thresh"] or -np.inf, params["stability_score_offset"])
            model = types.SimpleNamespace(image_encoder=types.SimpleNamespace(img_size=IMAGE_SIZE), device="cpu")
            generator = SamAutomaticMaskGenerator(model, output_mode="coco_rle", **params)
            generator.predictor = predictor
            with np.errstate(invalid="ignore"):
                records = generator.generate(np.zeros((height, width, 3), np.uint8))
            if predictor.margin > MARGIN:
                break
        else:
            raise SystemExit(f"no salt for {name}")
        print(name, "salt", salt, "margin", predictor.margin, "masks", len(records))
        values = [float(v).hex() if isinstance(v, float) else v for v in params.values()]
        out.write(" ".join(map(str, [name, width, height, salt, *values, len(records)])) + "\n")
        for r in records:
            numbers = [float(v).hex() for v in (r["predicted_iou"], r["stability_score"], *r["point_coords"][0])]
            out.write(" ".join(map(str, [r["area"], *map(int, r["bbox"]), *numbers, *map(int, r["crop_box"]),
                                         r["segmentation"]["counts"]])) + "\n")


for file, write in (("crops.txt", write_crops), ("grids.txt", write_grids), ("positions.txt", write_positions),
                    ("upsampling.txt", write_upsampling), ("pipeline.txt", write_pipeline)):
    with open(file, "w") as handle:
        write(handle)
