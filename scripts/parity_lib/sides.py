"""What both sides make of one case's picture."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from images import jpeg_bytes, read_rgb
from reference import default_prompts
from reference_model import Answers


@dataclass
class Sides:
    """`theirs` is the reference's; embedding to seconds are maskmill's, in the same shapes."""

    picture: Path
    image: np.ndarray
    prompts: list
    theirs: Answers
    embedding: np.ndarray
    logits: np.ndarray
    scores: np.ndarray
    masks: list
    seconds: float


def both_sides(case, model, tools):
    picture = tools.work / f"{case.name}.jpg"
    picture.write_bytes(jpeg_bytes(case.image()))
    image = read_rgb(picture)
    theirs = model.answers(case, picture)
    prompts = default_prompts(image.shape[1], image.shape[0], theirs.logits.shape[-1])
    shapes = [values.shape for values in (theirs.embedding, theirs.logits, theirs.scores)]
    numbers = tools.prompts(model.checkpoint, picture, prompts, case.name, shapes)
    started = time.monotonic()
    masks = tools.segment(model.checkpoint, picture, case.params, case.name)
    return Sides(picture, image, prompts, theirs, *numbers, masks, time.monotonic() - started)
