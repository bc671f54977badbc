"""Time one image in the reference and in maskmill, in turn, and print the ratio of the medians.

The image is 1800x1200, the checkpoint the seeded ViT-B of the parity cases, the grid 32 x 32; the predicted-IoU threshold
is set so that 40 % of the prompts keep at least one mask. The reference is timed from pixels to annotations, without
importing or loading; maskmill as a whole process, from start to the written JSON."""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from cases import LANDSCAPE, SEEDED
from images import photograph
from models import build, load_state, save_pth, seeded_state
from PIL import Image
from segment_anything import SamAutomaticMaskGenerator

PARAMS = {"points_per_side": 32, "stability_score_thresh": 0.6, "box_nms_thresh": 0.7}


def peak_memory(pid):
    """Bytes that the process has had resident at most, mapped weights included; 0 once it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def maskmill(program, image, checkpoint, params, threads, out):
    """Seconds of the whole process, and its peak memory in bytes."""
    command = [program, "segment", str(image), "-c", "default", "-m", str(checkpoint), "--threads", str(threads), "-o", str(out)]
    for key, value in params.items():
        command += ["--set", f"amg.{key}={value!r}"]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    peak = 0  # getrusage would also count what this Python held when it forked
    while process.poll() is None:
        peak = max(peak, peak_memory(process.pid))
        time.sleep(0.05)
    seconds = time.perf_counter() - begin
    if process.returncode:
        sys.exit(f"bench: {' '.join(command)} failed with {process.returncode}")
    return seconds, peak


def threshold_for(program, image, checkpoint, work, share):
    """The predicted IoU that this share of the prompts exceeds with their best mask."""
    out = work / "bench-all.json"
    everything = {**PARAMS, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}
    maskmill(program, image, checkpoint, everything, 2, out)
    best = {}
    for annotation in json.loads(out.read_text()):
        point = tuple(annotation["point_coords"][0])
        best[point] = max(best.get(point, -1.0), annotation["predicted_iou"])
    scores = list(best.values()) + [-1.0] * (PARAMS["points_per_side"] ** 2 - len(best))
    return float(np.quantile(scores, 1 - share))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maskmill", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    config, seed, _ = SEEDED["vit_b"]
    state = seeded_state(config, seed)
    checkpoint, image = args.work / "bench-vit_b.pth", args.work / "bench.jpg"
    save_pth(state, checkpoint)
    photograph(*LANDSCAPE).save(image, quality=95)
    pixels = np.asarray(Image.open(image).convert("RGB"))
    params = {**PARAMS, "pred_iou_thresh": threshold_for(args.maskmill, image, checkpoint, args.work, 0.4)}
    sam = load_state(build(config), state)
    generator = SamAutomaticMaskGenerator(sam, output_mode="coco_rle", **params)

    print(f"1800x1200, ViT-B (seeded), 1024 prompts, predicted IoU > {params['pred_iou_thresh']:.4f}, {args.threads} threads each")
    print(f"{'run':>3} {'reference s':>12} {'maskmill s':>11} {'ratio':>7} {'masks':>6} {'masks':>6} {'memory MB':>10}")
    rows = []
    for run in range(args.runs):
        begin = time.perf_counter()
        theirs = generator.generate(pixels)
        reference = time.perf_counter() - begin
        ours, memory = maskmill(args.maskmill, image, checkpoint, params, args.threads, args.work / "bench.json")
        found = json.loads((args.work / "bench.json").read_text())
        rows.append((reference, ours))
        print(f"{run + 1:>3} {reference:>12.1f} {ours:>11.2f} {reference / ours:>7.1f} {len(theirs):>6} {len(found):>6} "
              f"{memory / 1e6:>10.0f}", flush=True)
    medians = [statistics.median(column) for column in zip(*rows)]
    print(f"medians: reference {medians[0]:.1f} s, maskmill {medians[1]:.2f} s, ratio {medians[0] / medians[1]:.1f}; "
          f"reference's memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()
