"""The two programs that stand for maskmill in the comparison, and the folder where everything is made."""

import json
import subprocess
from pathlib import Path

import numpy as np


class Tools:
    def __init__(self, maskmill, dump, work, precision, backend, threads):
        self.maskmill, self.dump, self.work = maskmill, dump, Path(work)
        self.precision = precision
        self.kernels = ["--backend", backend, "--precision", precision, "--threads", str(threads)]
        self.work.mkdir(parents=True, exist_ok=True)

    def _run(self, command):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"parity: {' '.join(map(str, command))}\nended with {done.returncode}: {done.stderr.strip()}")

    def segment(self, checkpoint, picture, params, name):
        out = self.work / f"{name}.{self.precision}.json"
        sets = [part for key, value in params.items() for part in ("--set", f"amg.{key}={value!r}")]
        self._run([self.maskmill, "segment", picture, "-c", "default", "-m", checkpoint, "-q", "-o", out, *self.kernels, *sets])
        return read_masks(out)

    def prompts(self, checkpoint, picture, prompts, name, shapes):
        """Embedding, logits and predicted IoU in the given shapes."""
        folder = self.work / f"{name}.{self.precision}.dump"
        folder.mkdir(exist_ok=True)
        listed = [dict(prompt) for prompt in prompts]
        for i, prompt in enumerate(listed):
            if "mask_input" in prompt:
                (folder / f"mask_input_{i}.f32").write_bytes(prompt["mask_input"].astype("<f4").tobytes())
                prompt["mask_input"] = f"mask_input_{i}.f32"
        (folder / "prompts.json").write_text(json.dumps(listed))
        self._run([self.dump, *self.kernels, checkpoint, picture, folder / "prompts.json", folder])
        return [np.fromfile(folder / f"{what}.f32", "<f4").reshape(shape)
                for what, shape in zip(("embedding", "logits", "predicted_iou"), shapes)]


def read_masks(path):
    """The annotations of a JSON file as `maskmill segment` and the reference write them."""
    content = json.loads(Path(path).read_text())
    return content["annotations"] if isinstance(content, dict) else content
