"""scripts/parity: the reference and maskmill on the same checkpoints and pictures, a table, and PASS or FAIL.

The bars (docs/parity.md): embeddings and low-res logits within 1e-4 of their scale; the same masks with equal boxes and
points, except those that lie within 1e-4 of a decision; mean IoU of matched masks at least 0.999; predicted IoU and
stability within 1e-3."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import compare
import models
import numpy as np
import reference
import torch
from cases import CASES, SEEDED
from images import jpeg_bytes, read_rgb

BARS = {"embedding": 1e-4, "logits": 1e-4, "mean_iou": 0.999, "score": 1e-3, "stability": 1e-3}
COLUMNS = "{:<27}{:>10}{:>10}{:>10}{:>7}{:>7}{:>9}{:>10}{:>10}{:>10}{:>8}  {}"
HEADS = ("case", "embedding", "logits", "prompt", "masks", "same", "mean", "predicted", "stability", "boxes,", "not in", "")
HEADS2 = ("", "error", "error", "IoU error", "", "", "IoU", "IoU error", "error", "points", "both", "")


class Tools:
    """The two programs that stand for maskmill, and the folder where everything is made."""

    def __init__(self, args):
        self.maskmill, self.dump, self.work = args.maskmill, args.dump, Path(args.work)
        self.kernels = ["--backend", args.backend, "--threads", str(args.threads)]
        self.work.mkdir(parents=True, exist_ok=True)

    def _run(self, command):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"parity: {' '.join(map(str, command))}\nended with {done.returncode}: {done.stderr.strip()}")

    def segment(self, checkpoint, picture, params, name):
        out = self.work / f"{name}.json"
        sets = [part for key, value in params.items() for part in ("--set", f"amg.{key}={value!r}")]
        self._run([self.maskmill, "segment", picture, "-c", "default", "-m", checkpoint, "--precision", "f32", "-q", "-o", out,
                   *self.kernels, *sets])
        return read_masks(out)

    def prompts(self, checkpoint, picture, prompts, name, shapes):
        folder = self.work / f"{name}.dump"
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


def relative_error(ours, theirs):
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


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


def load_reference(name, path):
    state, config = models.load_checkpoint(path)
    return models.load_state(models.build(config or SEEDED[name][0]), state)


def run_case(case, sam, checkpoint, tools):
    picture = tools.work / f"{case.name}.jpg"
    picture.write_bytes(jpeg_bytes(case.image()))
    image = read_rgb(picture)
    low_res = 4 * sam.prompt_encoder.image_embedding_size[0]
    prompts = reference.default_prompts(image.shape[1], image.shape[0], low_res)
    theirs = reference.predict_prompts(sam, image, prompts)
    ours = tools.prompts(checkpoint, picture, prompts, case.name, [t.shape for t in theirs])
    row = {"case": case.name, "embedding": relative_error(ours[0], theirs[0]),
           "logits": relative_error(ours[1], theirs[1]), "prompt_score": float(np.abs(ours[2] - theirs[2]).max())}

    started = time.monotonic()
    generator = reference.make_generator(sam, case.params, case.points_per_batch)
    their_masks = generator.generate(image)
    row["reference_seconds"] = time.monotonic() - started
    started = time.monotonic()
    our_masks = tools.segment(checkpoint, picture, case.params, case.name)
    row["maskmill_seconds"] = time.monotonic() - started
    (tools.work / f"{case.name}.reference.json").write_text(json.dumps(their_masks))

    pairs, only_theirs, only_ours = compare.match(their_masks, our_masks)
    row.update(compare.pair_figures(their_masks, our_masks, pairs))
    row.update(masks=len(their_masks), candidates=len(generator.candidates), only=len(only_theirs) + len(only_ours))
    same = not (row["only"] or row["boxes"] or row["points"]) and row["order"] and row["stability"] <= BARS["stability"]
    examiner = reference.Examiner(sam, image, case.params)
    if same and not case.params["min_mask_region_area"]:
        lines, explained = compare.explain_pixels(examiner, their_masks, our_masks, pairs)
    elif same and row["identical"] == row["masks"]:
        lines, explained = [], True
    else:
        unfiltered = {**case.params, "box_nms_thresh": 1.0, "crop_nms_thresh": 1.0, "min_mask_region_area": 0}
        candidates = tools.segment(checkpoint, picture, unfiltered, f"{case.name}.candidates")
        nms = case.params["box_nms_thresh"]
        lines = [f"mask of the reference alone: {compare.why_missing(their_masks[i], our_masks, nms)}" for i in only_theirs]
        lines += [f"mask of maskmill alone: {compare.why_missing(our_masks[j], their_masks, nms)}" for j in only_ours]
        proof, explained = compare.explain(case, examiner, generator.candidates, candidates, our_masks,
                                           (image.shape[1], image.shape[0]))
        lines += proof
    row["explanation"] = lines
    row["pass"] = bool(explained and row["embedding"] <= BARS["embedding"] and row["logits"] <= BARS["logits"]
                       and row["prompt_score"] <= BARS["score"] and row["mean_iou"] >= BARS["mean_iou"]
                       and row["score"] <= BARS["score"] and their_masks)
    return row


def print_row(row):
    equal = "equal" if not row["boxes"] and not row["points"] else f"{row['boxes']},{row['points']}"
    print(COLUMNS.format(row["case"], f"{row['embedding']:.1e}", f"{row['logits']:.1e}", f"{row['prompt_score']:.1e}",
                         row["masks"], row["pairs"], f"{row['mean_iou']:.6f}", f"{row['score']:.1e}",
                         f"{row['stability']:.1e}", equal, row["only"], "PASS" if row["pass"] else "FAIL"))
    for line in row["explanation"]:
        print("    " + line)
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(prog="scripts/parity", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the narrow ViT and the default model on small pictures")
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    parser.add_argument("--backend", default="auto", choices=("auto", "dnnl", "blas"))
    parser.add_argument("--threads", type=int, default=1, help="of maskmill and of the reference")
    for name in ("--maskmill", "--dump", "--work", "--default-model"):
        parser.add_argument(name, required=True, help=argparse.SUPPRESS)
    parser.add_argument("case", nargs="*", help="names of cases, or their beginnings; all of them when none is given")
    args = parser.parse_args()
    chosen = [c for c in CASES if (not args.quick or c.quick) and (not args.case or c.name.startswith(tuple(args.case)))]
    if args.list or not chosen:
        print("\n".join(c.name + (" (quick)" if c.quick else "") for c in CASES))
        return 0 if args.list else 2
    torch.set_num_threads(args.threads)
    tools = Tools(args)
    print(COLUMNS.format(*HEADS).rstrip() + "\n" + COLUMNS.format(*HEADS2).rstrip())
    rows, loaded = [], (None, None, None)
    for case in chosen:
        if loaded[0] != case.model:
            path = checkpoint_path(case.model, tools.work, args.default_model)
            loaded = (case.model, load_reference(case.model, path), path)
        rows.append(run_case(case, loaded[1], loaded[2], tools))
        print_row(rows[-1])
    (tools.work / "results.json").write_text(json.dumps(rows, indent=1))
    failed = sum(not row["pass"] for row in rows)
    print(f"{len(rows) - failed} of {len(rows)} cases pass; figures and pictures are in {tools.work}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
