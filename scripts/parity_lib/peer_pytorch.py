"""The reference itself in PyTorch, in f32 and under bf16 autocast: the whole image, its encoder, its decoder."""

import math
from functools import partial

import torch
from bench_subject import Peer, Round, Subject, timed
from segment_anything import SamAutomaticMaskGenerator

BATCH = 64  # the reference's own points_per_batch


def peers() -> dict:
    parts = {"whole": _whole, "encoder": _encoder, "decoder": _decoder}
    return {f"pytorch-{part}-{precision}": partial(make, precision=precision)
            for precision in ("f32", "bf16") for part, make in parts.items()}


def _autocast(precision: str):
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


class _Generator(SamAutomaticMaskGenerator):
    """Unpatched, the reference fails under autocast when all is done: its scores come in bf16, which numpy does not have.
    Nothing else of it is touched."""

    def _process_batch(self, *args):
        data = super()._process_batch(*args)
        data["iou_preds"] = data["iou_preds"].float()
        return data


def _whole(subject: Subject, precision: str) -> Peer:
    """From pixels to annotations; warmed with one batch, so that memory of the sizes it takes has been touched."""
    found = []

    def generate(points_per_side: int):
        params = {**subject.params, "points_per_side": points_per_side}
        generator = _Generator(subject.sam, points_per_batch=BATCH, output_mode="coco_rle", **params)
        with _autocast(precision):
            found[:] = generator.generate(subject.pixels)

    def run() -> Round:
        done = timed("whole", lambda: generate(subject.params["points_per_side"]))
        done.facts["masks"] = len(found)
        return done

    return Peer(run, lambda: generate(math.isqrt(BATCH)))


def _encoder(subject: Subject, precision: str) -> Peer:
    def encode():
        with torch.no_grad(), _autocast(precision):
            subject.sam.image_encoder(subject.encoder_input)

    return Peer(lambda: timed("encoder", encode), encode)


def decode(subject: Subject, points) -> tuple[torch.Tensor, torch.Tensor]:
    """Low-res logits of all four masks, and predicted IoU, of single positive points."""
    sam = subject.sam
    prompts = torch.as_tensor(points)[:, None], torch.ones(len(points), 1, dtype=torch.int)
    with torch.no_grad():
        sparse, dense = sam.prompt_encoder(prompts, None, None)
        return sam.mask_decoder.predict_masks(subject.embedding, sam.prompt_encoder.get_dense_pe(), sparse, dense)


def _decoder(subject: Subject, precision: str) -> Peer:
    """All prompts up to the low-res logits; nothing is brought to the image's size."""
    def run(points):
        with _autocast(precision):
            for first in range(0, len(points), BATCH):
                decode(subject, points[first : first + BATCH])

    return Peer(lambda: timed("decoder", lambda: run(subject.points)), lambda: run(subject.points[:BATCH]))
