"""Write a checkpoint as safetensors that maskmill reads: matrices in bf16 (or f16, f32), vectors and the positional matrix
in f32; with the thresholds that suit it and its model card. Usage: export.py CHECKPOINT OUT.safetensors"""

import argparse
import json
from pathlib import Path

import torch

import model as models


def save(state, config, path, dtype, notes=None):
    from safetensors.torch import save_file

    tensors = {}
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        whole = tensor.dim() < 2 or "positional" in name
        tensors[name] = tensor.to(torch.float32 if whole else dtype).contiguous()
    save_file(tensors, path, metadata={"maskmill.config": json.dumps(config), **(notes or {})})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out")
    parser.add_argument("--dtype", choices=["bf16", "f16", "f32"], default="bf16")
    parser.add_argument("--side", type=int, help="image size of the exported model; default: the checkpoint's")
    parser.add_argument("--thresholds", type=float, nargs=3, metavar=("IOU", "STABILITY", "OFFSET"))
    parser.add_argument("--card", type=Path, help="Markdown file")
    args = parser.parse_args()
    notes = {}
    if args.thresholds:
        names = "pred_iou_thresh", "stability_score_thresh", "stability_score_offset"
        notes["maskmill.thresholds"] = json.dumps(dict(zip(names, args.thresholds)))
    if args.card:
        notes["maskmill.card"] = args.card.read_text()
    state, config = models.read(args.checkpoint)
    dtype = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}[args.dtype]
    save(state, {**config, "image_size": args.side or config["image_size"]}, args.out, dtype, notes)


if __name__ == "__main__":
    main()
