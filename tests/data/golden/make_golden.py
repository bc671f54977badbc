"""Makes this folder's files from the reference's own code: run it with the Python of scripts/parity, from anywhere.

    PYTHONPATH=scripts/parity_lib/stubs build/parity/venv/bin/python tests/data/golden/make_golden.py [case ...]

*.safetensors, *.pth (+ .config.json)   small seeded checkpoints, every tensor random
*.jpg                                   drawn scenes
<case>.prompts.json, *.f32              embedding, low-res logits (every `stride`-th value), predicted IoU for prompts
<case>.masks.json                       the reference's annotations of one picture

A case is written only if it is firm: its masks, boxes and order stay when thresholds and logits move by more than
rounding does, so that the tests can ask for equality."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(ROOT / "scripts/parity_lib"), str(ROOT / "scripts/parity_lib/stubs")]

import compare  # noqa: E402
import models  # noqa: E402
import reference  # noqa: E402
from cases import DEFAULTS, TRAINED, tiny_vit, vit  # noqa: E402
from images import draw_scene, jpeg_bytes, read_rgb  # noqa: E402

SMALL_DECODER = {"num_heads": 4, "mlp_dim": 64, "iou_head_hidden_dim": 32}
CONFIGS = {
    "vit": (vit(256, 48, 3, 3, 7, [1], 32, {**SMALL_DECODER, "depth": 3}), 4),
    "tiny": (tiny_vit(256, [16, 32, 48, 64], [1, 1, 2, 1], [1, 2, 3, 4], [7, 5, 9, 7], 3, 3, 32, SMALL_DECODER), 3),
}
CHECKPOINTS = {"vit": "vit.safetensors", "tiny": "tiny.pth", "default": "../../../configs/models/default.safetensors"}
PICTURES = {"landscape.jpg": (200, 150, 3), "portrait.jpg": (120, 190, 8), "thumb.jpg": (40, 30, 2)}

PROMPTS = {"vit": ("vit", "landscape.jpg"), "tiny": ("tiny", "portrait.jpg"), "default": ("default", "landscape.jpg")}
MASKS = {
    "vit_whole": ("vit", "landscape.jpg", {"points_per_side": 12}),
    "vit_crops": ("vit", "portrait.jpg", {"points_per_side": 11, "crop_n_layers": 1, "min_mask_region_area": 20}),
    "tiny_whole": ("tiny", "portrait.jpg", {"points_per_side": 11, "min_mask_region_area": 20}),
    "tiny_crops": ("tiny", "landscape.jpg", {"points_per_side": 6, "crop_n_layers": 1}),
    "default_whole": ("default", "landscape.jpg", {"points_per_side": 10}),
    "default_crops": ("default", "portrait.jpg", {"points_per_side": 8, "crop_n_layers": 2, "min_mask_region_area": 20,
                                                  "crop_n_points_downscale_factor": 2}),
    "default_thumb": ("default", "thumb.jpg", {"points_per_side": 5, "crop_n_layers": 1, "stability_score_thresh": 0.52}),
}


def write_checkpoints():
    for name, (config, seed) in CONFIGS.items():
        path = HERE / CHECKPOINTS[name]
        if path.exists():
            continue
        state = models.seeded_state(config, seed)
        if path.suffix == ".safetensors":  # bf16 and f16 halve the files and have the tests read both
            models.save_safetensors(state, config, path, torch.bfloat16)
        else:
            models.save_pth({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, path)
            path.with_suffix(".config.json").write_text(json.dumps(config, indent=1) + "\n")


def load(name):
    path = HERE / CHECKPOINTS[name]
    state, config = models.load_checkpoint(path)
    return models.load_state(models.build(config or CONFIGS[name][0]), state)


def described(model, picture):
    entry = {"checkpoint": CHECKPOINTS[model], "image": picture}
    if CHECKPOINTS[model].endswith(".pth"):
        entry["model_config"] = CHECKPOINTS[model].replace(".pth", ".config.json")
    return entry


def write_prompts(name, model, picture):
    sam = load(model)
    image = read_rgb(HERE / picture)
    low_res = 4 * sam.prompt_encoder.image_embedding_size[0]
    prompts = reference.default_prompts(image.shape[1], image.shape[0], low_res)
    embedding, logits, scores = reference.predict_prompts(sam, image, prompts)
    case = described(model, picture)
    for what, values, stride in (("embedding", embedding, 3), ("logits", logits, 7)):
        values.flatten()[::stride].astype("<f4").tofile(HERE / f"{name}.{what}.f32")
        case[what] = {"file": f"{name}.{what}.f32", "count": int(values.size), "stride": stride,
                      "scale": float(np.abs(values).max())}
    case["predicted_iou"] = scores.tolist()
    for prompt in prompts:
        if "mask_input" in prompt:
            file = f"mask_input_{prompt['mask_input'].shape[-1]}.f32"
            prompt["mask_input"].astype("<f4").tofile(HERE / file)
            prompt["mask_input"] = file
    case["prompts"] = prompts
    (HERE / f"{name}.prompts.json").write_text(json.dumps(case, indent=1) + "\n")


def moved(sam, image, params, name, by):
    """The masks when one threshold, or zero itself, stands a little aside."""
    aside = dict(params)
    if name == "mask_threshold":
        sam.mask_threshold = by
    else:
        aside[name] += by
    masks = reference.make_generator(sam, aside, 64).generate(image)
    sam.mask_threshold = 0.0
    return masks


def looseness(sam, image, params, masks, logit_step):
    """What a little more than rounding would change; empty if nothing."""
    found = []
    for name, step in (("pred_iou_thresh", 2e-5), ("stability_score_thresh", 2e-5), ("mask_threshold", logit_step)):
        for by in (-step, step):
            other = moved(sam, image, params, name, by)
            same = len(other) == len(masks) and all(
                compare.prompt_key(a) == compare.prompt_key(b) and a["bbox"] == b["bbox"] for a, b in zip(masks, other))
            if not same:
                found.append(f"{name} {by:+g}: {len(masks)} masks become {len(other)}")
    for a, b in zip(masks, masks[1:]):
        if a["crop_box"] == b["crop_box"] and abs(a["predicted_iou"] - b["predicted_iou"]) < 1e-5:
            found.append("two masks with nearly equal scores")
    return found


def write_masks(name, model, picture, changes):
    sam = load(model)
    image = read_rgb(HERE / picture)
    params = {**DEFAULTS, **(TRAINED if model == "default" else {}), **changes}
    generator = reference.make_generator(sam, params, 64)
    masks = generator.generate(image)
    loose = looseness(sam, image, params, masks, 1e-4 if model == "default" else 1e-3)  # 1e-5 of the logits' scale
    print(f"{name}: {len(generator.candidates)} candidates, {len(masks)} masks; {'; '.join(loose) or 'firm'}", flush=True)
    if not loose:
        case = {**described(model, picture), "params": params, "masks": masks}
        (HERE / f"{name}.masks.json").write_text(json.dumps(case) + "\n")


def main():
    torch.set_num_threads(1)
    wanted = sys.argv[1:]
    for name, size in PICTURES.items():
        if not (HERE / name).exists():
            (HERE / name).write_bytes(jpeg_bytes(draw_scene(*size), 92))
    write_checkpoints()
    for name, case in PROMPTS.items():
        if not wanted or name in wanted:
            write_prompts(name, *case)
    for name, case in MASKS.items():
        if not wanted or name in wanted:
            write_masks(name, *case)


if __name__ == "__main__":
    main()
