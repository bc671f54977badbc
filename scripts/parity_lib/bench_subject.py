"""What the peers are timed on: one photograph, one seeded checkpoint, 1024 prompts. And what a peer is."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cases
import images
import models
import numpy as np
import torch
from maskmill_program import Program
from segment_anything import SamPredictor
from segment_anything.utils.amg import build_all_layer_point_grids

PARAMS = {"points_per_side": 32, "stability_score_thresh": 0.6, "box_nms_thresh": 0.7}
KEPT = 0.4  # share of the prompts whose best mask is to exceed the threshold of predicted IoU


@dataclass
class Round:
    """What one run of a peer gave: seconds by part (whole, encoder, decoder, masks), and whatever else is worth keeping."""

    seconds: dict[str, float]
    facts: dict = field(default_factory=dict)


@dataclass
class Peer:
    """`warm` is called once, untimed, before the first round, and may give facts that hold for all rounds."""

    run: Callable[[], Round]
    warm: Callable[[], dict | None] = lambda: None


def timed(part: str, work: Callable) -> Round:
    begin = time.perf_counter()
    work()
    return Round({part: time.perf_counter() - begin})


def relative_error(found, wanted) -> float:
    """Length of the difference over the length of what is wanted."""
    wanted = np.asarray(wanted, dtype=np.float32)
    return float(np.linalg.norm(np.asarray(found, dtype=np.float32) - wanted) / np.linalg.norm(wanted))


class Subject:
    """Everything is made when it is first asked for, because few peers need all of it."""

    def __init__(self, model: str, program: Program, work: Path):
        self.model, self.program, self.work, self.threads = model, program, work, program.threads
        self.config, self.seed, _ = cases.SEEDED[model]

    @cached_property
    def image(self) -> Path:
        path = self.work / "image.jpg"
        images.photograph(*cases.LANDSCAPE).save(path, quality=95)
        return path

    @cached_property
    def pixels(self) -> np.ndarray:
        return images.read_rgb(self.image)

    @cached_property
    def checkpoint(self) -> Path:
        """Kept from run to run as long as the files that determine it are older: calibrating ViT-B takes a while."""
        path = self.work / f"{self.model}.pth"
        sources = [Path(module.__file__) for module in (cases, images, models)]
        if not path.exists() or path.stat().st_mtime < max(source.stat().st_mtime for source in sources):
            part = path.with_suffix(".part")
            models.save_pth(models.seeded_state(self.config, self.seed), part)
            part.replace(path)
        return path

    @cached_property
    def sam(self) -> torch.nn.Module:
        return models.load_state(models.build(self.config), models.load_checkpoint(self.checkpoint)[0])

    @cached_property
    def _predictor(self) -> SamPredictor:
        return SamPredictor(self.sam)

    @cached_property
    def encoder_input(self) -> torch.Tensor:
        """Resized, normalised and padded: resizing is timed on neither side."""
        resized = torch.as_tensor(self._predictor.transform.apply_image(self.pixels))
        return self.sam.preprocess(resized.permute(2, 0, 1)[None]).contiguous()

    @cached_property
    def embedding(self) -> torch.Tensor:
        with torch.no_grad():
            return self.sam.image_encoder(self.encoder_input).contiguous()

    @cached_property
    def points(self) -> np.ndarray:
        """The grid's prompts [1024][2] in the frame of the encoder's input, in double as the reference has them."""
        height, width = self.pixels.shape[:2]
        grid = build_all_layer_point_grids(PARAMS["points_per_side"], 0, 1)[0]
        return self._predictor.transform.apply_coords(grid * [width, height], (height, width))

    @cached_property
    def params(self) -> dict:
        """The generator's parameters, with the threshold of predicted IoU that KEPT of the prompts exceed."""
        return {**PARAMS, "pred_iou_thresh": float(np.quantile(self._best_scores(), 1 - KEPT))}

    def _best_scores(self) -> list[float]:
        """The best predicted IoU of each prompt; -1 where none is above zero."""
        everything = {**PARAMS, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}
        out = self.work / "all-masks.json"
        self.program.segment(self.checkpoint, self.image, "f32", everything, out)
        best = {}
        for annotation in json.loads(out.read_text()):
            point = tuple(annotation["point_coords"][0])
            best[point] = max(best.get(point, -1.0), annotation["predicted_iou"])
        return list(best.values()) + [-1.0] * (len(self.points) - len(best))

    def known_params(self) -> dict | None:
        """None when no peer has asked for them yet."""
        return self.__dict__.get("params")
