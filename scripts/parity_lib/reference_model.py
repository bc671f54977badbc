"""The reference's side of a case, which is slow: run once and kept in the work folder for as long as nothing changes that
could change it."""

import hashlib
import importlib.metadata
import json
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import models
import numpy as np
import reference
import torch
from cases import SEEDED
from images import read_rgb

HERE = Path(__file__).resolve().parent
SOURCES = [HERE / "models.py", HERE / "reference.py", *sorted((HERE / "stubs").rglob("*.py"))]
PACKAGES = ("torch", "segment-anything-py", "mobilesam-mirror")


@dataclass
class Answers:
    """What the reference makes of one picture: embedding [D][S][S], logits [P][K][L][L] and predicted IoU [P][K] of
    reference.default_prompts, and the annotations, before duplicates are removed (candidates) and after."""

    embedding: np.ndarray
    logits: np.ndarray
    scores: np.ndarray
    candidates: list
    masks: list
    seconds: float


def checkpoint_path(name, work, default):
    """The checkpoint's file; seeded ones are drawn on first use."""
    if name == "default":
        return Path(default)
    config, seed, form = SEEDED[name]
    path = work / f"{name}-{seed}.{form}"
    if not path.exists():
        state = models.seeded_state(config, seed)
        if form == "pth":
            models.save_pth(state, path)
        else:
            models.save_safetensors(state, config, path)
    return path


class ReferenceModel:
    """A checkpoint as the reference runs it; it is read when it is first needed, which cached answers do not."""

    def __init__(self, name, work, default):
        self.name, self.work, self.checkpoint = name, work, checkpoint_path(name, work, default)

    @cached_property
    def sam(self):
        state, config = models.load_checkpoint(self.checkpoint)
        return models.load_state(models.build(config or SEEDED[self.name][0]), state)

    @cached_property
    def _origin(self):
        """A digest of the checkpoint and of the code that runs it."""
        digest = hashlib.sha256("".join(importlib.metadata.version(package) for package in PACKAGES).encode())
        for path in [self.checkpoint, *SOURCES]:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest

    def _key(self, case, picture):
        digest = self._origin.copy()
        digest.update(picture.read_bytes())
        digest.update(json.dumps([case.params, case.points_per_batch], sort_keys=True).encode())
        return digest.hexdigest()

    def answers(self, case, picture):
        key = self._key(case, picture)
        listed, arrays = self.work / f"{case.name}.reference.json", self.work / f"{case.name}.reference.npz"
        if listed.exists() and arrays.exists():
            kept = json.loads(listed.read_text())
            if isinstance(kept, dict) and kept.get("key") == key:
                with np.load(arrays) as file:
                    return Answers(file["embedding"], file["logits"], file["scores"], kept["candidates"],
                                   kept["annotations"], kept["seconds"])
        answers = self._run(case, read_rgb(picture))
        listed.unlink(missing_ok=True)  # until both files are whole, neither counts
        np.savez(arrays, embedding=answers.embedding, logits=answers.logits, scores=answers.scores)
        listed.write_text(json.dumps({"key": key, "seconds": answers.seconds, "candidates": answers.candidates,
                                      "annotations": answers.masks}))
        return answers

    def autocast(self, case, picture, prompts):
        """Embedding and logits of the same prompts in PyTorch's own bf16, to have a measure for ours."""
        key, arrays = self._key(case, picture), self.work / f"{case.name}.autocast.npz"
        if arrays.exists():
            with np.load(arrays) as file:
                if str(file["key"]) == key:
                    return file["embedding"], file["logits"]
        with torch.autocast("cpu", torch.bfloat16):
            embedding, logits, _ = reference.predict_prompts(self.sam, read_rgb(picture), prompts)
        np.savez(arrays, key=key, embedding=embedding, logits=logits)
        return embedding, logits

    def _run(self, case, image):
        low_res = 4 * self.sam.prompt_encoder.image_embedding_size[0]
        prompts = reference.default_prompts(image.shape[1], image.shape[0], low_res)
        embedding, logits, scores = reference.predict_prompts(self.sam, image, prompts)
        started = time.monotonic()
        generator = reference.make_generator(self.sam, case.params, case.points_per_batch)
        masks = generator.generate(image)
        return Answers(embedding, logits, scores, generator.candidates, masks, time.monotonic() - started)
