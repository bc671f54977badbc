"""Running the reference: embeddings, logits of given prompts, whole images, and a closer look at single candidates."""

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from segment_anything.utils.amg import coco_encode_rle

NEAR = 1e-4  # how near to a threshold, relative to the scale of what is compared, a decision may differ


class RecordingGenerator(SamAutomaticMaskGenerator):
    """The reference, noting what passed its filters before any duplicate was removed."""

    def generate(self, image):
        self.candidates = []
        return super().generate(image)

    def _process_batch(self, points, im_size, crop_box, orig_size):
        data = super()._process_batch(points, im_size, crop_box, orig_size)
        x0, y0, x1, y1 = crop_box
        for i, rle in enumerate(data["rles"]):
            left, top, right, bottom = (data["boxes"][i] + torch.tensor([x0, y0, x0, y0])).tolist()
            self.candidates.append({
                "segmentation": coco_encode_rle(rle),
                "bbox": [left, top, right - left, bottom - top],
                "predicted_iou": data["iou_preds"][i].item(),
                "stability_score": data["stability_score"][i].item(),
                "point_coords": [(data["points"][i] + torch.tensor([x0, y0])).tolist()],
                "crop_box": [x0, y0, x1 - x0, y1 - y0],
            })
        return data


def make_generator(sam, params, points_per_batch):
    return RecordingGenerator(sam, points_per_batch=points_per_batch, output_mode="coco_rle", **params)


def default_prompts(width, height, low_res):
    """Every kind of prompt once or more, in pixels. The mask input is a soft disc."""
    def at(x, y, label=1):
        return [round(x * width, 2), round(y * height, 2), label]

    y, x = np.mgrid[0:low_res, 0:low_res] / low_res
    disc = (12 * np.tanh(20 * (0.2 - np.hypot(x - 0.4, y - 0.3)))).astype(np.float32)
    box = at(0.2, 0.25)[:2] + at(0.7, 0.8)[:2]
    return [
        {"points": [at(0.5, 0.5)]},
        {"points": [at(0.13, 0.81)]},
        {"points": [at(0.9, 0.1)]},
        {"points": [at(0.3, 0.4), at(0.6, 0.7, 0)]},
        {"points": [at(0.25, 0.25), at(0.4, 0.5), at(0.8, 0.6, 0), at(0.1, 0.9, 0)]},
        {"box": box},
        {"points": [at(0.45, 0.5)], "box": box},
        {"points": [at(0.4, 0.3)], "mask_input": disc},
        {"mask_input": disc},
    ]


@torch.no_grad()
def encode(sam, image):
    """The embedding [1][D][S][S]."""
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    return predictor.features


@torch.no_grad()
def decode(sam, embedding, size, prompts):
    """Logits [P][K][L][L] and predicted IoU [P][K], all K mask tokens, for prompts in the pixels of an image of the given
    (height, width); coordinates stay double up to the positional encoding, as they do in the automatic mask generator."""
    transform = SamPredictor(sam).transform
    logits, scores = [], []
    for prompt in prompts:
        points = boxes = masks = None
        if "points" in prompt:
            given = np.array(prompt["points"], dtype=float)
            coords = transform.apply_coords(given[:, :2], size)
            points = torch.as_tensor(coords)[None], torch.as_tensor(given[:, 2], dtype=torch.int)[None]
        if "box" in prompt:
            boxes = torch.as_tensor(transform.apply_boxes(np.array(prompt["box"], dtype=float), size))
        if "mask_input" in prompt:
            masks = torch.as_tensor(prompt["mask_input"])[None, None]
        sparse, dense = sam.prompt_encoder(points, boxes, masks)
        mask, iou = sam.mask_decoder.predict_masks(embedding, sam.prompt_encoder.get_dense_pe(), sparse, dense)
        logits.append(mask[0].float().numpy())
        scores.append(iou[0].float().numpy())
    return np.stack(logits), np.stack(scores)


def predict_prompts(sam, image, prompts):
    """Embedding [D][S][S], logits and predicted IoU as from decode."""
    embedding = encode(sam, image)
    return embedding[0].float().numpy(), *decode(sam, embedding, image.shape[:2], prompts)


class Examiner:
    """Logits behind single candidates at the crop's size, to tell how near a decision was. A crop is encoded once as
    long as its candidates are asked for one after the other."""

    def __init__(self, sam, image, params):
        self.sam, self.image, self.params = sam, image, params
        self.predictor, self.crop, self.point = SamPredictor(sam), None, None

    @torch.no_grad()
    def _decode(self, candidate):
        x0, y0, w, h = (int(v) for v in candidate["crop_box"])
        window = self.image[y0 : y0 + h, x0 : x0 + w]
        if self.crop != (x0, y0, w, h):
            self.predictor.set_image(window)
            self.crop, self.point = (x0, y0, w, h), None
        point = np.array(candidate["point_coords"][0]) - [x0, y0]
        if self.point != tuple(point):
            coords = torch.as_tensor(self.predictor.transform.apply_coords(point[None], window.shape[:2]))[None]
            self.logits, self.scores, _ = self.predictor.predict_torch(
                coords, torch.ones(1, 1, dtype=torch.int), multimask_output=True, return_logits=True)
            self.point = tuple(point)
        return self.logits[0], self.scores[0]

    def look(self, candidate, bits):
        """The candidate's own mask among the point's three: its logits, how near is near for them, predicted IoU, and the
        ranges in which the stability score and the box (in the image's frame) lie when near logits may fall either
        way. `bits` is the candidate's mask in the image's frame."""
        logits, scores = self._decode(candidate)
        x0, y0, w, h = self.crop
        mine = torch.as_tensor(bits[y0 : y0 + h, x0 : x0 + w].astype(bool))
        wrong = [int(((level > 0) ^ mine).sum()) for level in logits]
        far = [abs(float(s) - candidate["predicted_iou"]) for s in scores]
        k = min(range(len(wrong)), key=lambda i: (far[i] > 1e-3, wrong[i]))
        level, offset = logits[k], self.params["stability_score_offset"]
        near = NEAR * float(level.abs().max())
        counts = [float((level > t).sum()) for t in (offset + near, offset - near, -offset - near, -offset + near)]
        stability = [counts[0] / counts[2] if counts[2] else 0.0, counts[1] / counts[3] if counts[3] else 1.0]
        boxes = np.array([_box(level > t) for t in (near, 0.0, -near)]) + [x0, y0, x0, y0]
        return {"logits": level, "near": near, "score": float(scores[k]), "stability": stability, "boxes": boxes,
                "mask": mine, "crop": (x0, y0, w, h)}


def _box(bits):
    rows, columns = bits.any(1).nonzero(), bits.any(0).nonzero()
    if not len(rows):
        return [0, 0, 0, 0]
    return [int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])]
