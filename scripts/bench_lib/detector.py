"""Confident masks of drawn scenes against the truth: choose a detector's thresholds, tell what they reach, show a round trip.

The engine makes all masks; this only starts it and compares. Thresholds are chosen on scenes of the training split that neither
model nor detector has seen, and reported on the held-out ones: a run without thresholds keeps every mask with its scores, and
thresholds and duplicates (docs/detector.md) are then applied here, for all combinations. What is reported at the end is a
run with the thresholds that were chosen, which must keep the same masks."""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import masks
import programs
import round_trip

TRAIN_DEFAULT = programs.ROOT / "scripts/train_default"
SCORES = [round(0.20 + 0.02 * i, 2) for i in range(38)]
IOUS = [0.0, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9]
STABILITIES = [0.0, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97]
SETTINGS = "detect.score_thresh", "detect.pred_iou_thresh", "detect.stability_score_thresh"
IN_FILE = "confident_score", "confident_iou", "confident_stability"


def parse():
    parser = argparse.ArgumentParser(prog="bench-detector", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("head", type=Path, help="the detector, HEAD.safetensors")
    parser.add_argument("-m", "--model", default="default")
    parser.add_argument("--choose", type=Path, help="scenes to choose on: a folder that coco.py --masks wrote (default: drawn)")
    parser.add_argument("--report", type=Path, help="scenes to report on (default: the held-out ones, drawn)")
    parser.add_argument("--first", type=int, default=900000, help="first of the drawn scenes to choose on")
    parser.add_argument("--count", type=int, default=400, help="how many are drawn to choose on")
    parser.add_argument("--precision", type=float, default=0.9, help="what is to be reached at IoU 0.75")
    parser.add_argument("--margin", type=float, default=0.02, help="by how much it must be passed where it is chosen")
    parser.add_argument("--write", action="store_true", help="write the chosen thresholds into HEAD")
    parser.add_argument("--keep", action="store_true", help="choose nothing: report on the thresholds that are in HEAD")
    parser.add_argument("--round-trip", action="store_true", help="run, queue, answers by scripts/play-annotator, import")
    parser.add_argument("--most", type=int, default=20, help="masks an image that the annotator stops at (0: none is left out)")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--scratch", type=Path, default=programs.ROOT / "build/bench-detector")
    arguments = parser.parse_args()
    if not arguments.head.is_file():
        parser.error(f"there is no detector {arguments.head}; `maskmill train detector` makes one")
    if arguments.write and arguments.keep:
        parser.error("--keep chooses nothing that --write could write")
    return arguments


def draw(folder, options):
    if not (folder / "instances.json").exists():
        subprocess.run([sys.executable, TRAIN_DEFAULT / "coco.py", folder, *map(str, options)], check=True)
    return folder


def thresholds(head, **changes):
    """What the file says, after these changes."""
    words = [f"{name}={value}" for name, value in changes.items()]
    out = subprocess.run([sys.executable, TRAIN_DEFAULT / "thresholds.py", head, *words], check=True,
                         capture_output=True, text=True)
    return {name: float(value) for name, value in (line.split(" = ") for line in out.stdout.splitlines())}


def confident_masks(arguments, scenes, head, name, settings):
    """A run on the scenes, and its confident masks beside the truth. They do not depend on the grid, so it has one point."""
    out = arguments.scratch / name
    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(f"{out}-json", ignore_errors=True)
    options = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    programs.run(programs.on_ranks(arguments.ranks, [
        arguments.maskmill, "run", scenes / "images", "-o", out, "-m", arguments.model, "--quiet", "--set", "detect.enabled=true",
        "--set", f"detect.head={head}", "--set", "amg.points_per_side=1", *options]))
    programs.run([arguments.maskmill, "export", out, "--format", "coco", "--masks", "confident", "-o", f"{out}-json"])
    return masks.compare(scenes / "instances.json", Path(f"{out}-json/instances.json"))


def open_run(arguments, scenes, name):
    """Every box's mask, duplicates too."""
    head = arguments.scratch / "open.detector.safetensors"
    shutil.copyfile(arguments.head, head)
    thresholds(head, mask_nms=1.0)
    return confident_masks(arguments, scenes, head, name, dict(zip(SETTINGS, (SCORES[0], 0, 0))))


def describe(values):
    return ", ".join(f"{name} {value:g}" for name, value in zip(IN_FILE, values))


def choose(compared, duplicate, least):
    """The thresholds of highest recall at a precision of at least `least`; of equal ones the highest, which cost least."""
    found = []
    for iou in IOUS:
        for stability in STABILITIES:
            for score in SCORES:
                figures = masks.judge(compared, (score, iou, stability), duplicate)
                found.append((figures, (score, iou, stability)))
    good = [entry for entry in found if entry[0].precision >= least]
    if not good:
        best = max(found, key=lambda entry: entry[0].precision)
        programs.fail(f"no thresholds reach a precision of {least:g}; the most is {best[0].precision:.3f}, "
                      f"at {describe(best[1])}")
    return max(good, key=lambda entry: (entry[0].recall[0.75], entry[1]))[1]


def print_sweep(title, compared, chosen, duplicate):
    """Along each of the three, the other two as chosen; and what there is without thresholds, which recall cannot pass."""
    rows = [[f"none but confident_score {SCORES[0]:g}", *masks.judge(compared, (SCORES[0], 0, 0), duplicate).row()]]
    for place, (name, values) in enumerate(zip(IN_FILE, (SCORES[::4], IOUS, STABILITIES))):
        for value in sorted({*values, chosen[place]}):
            at = tuple(value if i == place else other for i, other in enumerate(chosen))
            figures = masks.judge(compared, at, duplicate)
            rows.append([f"{name} {value:g}" + (" (chosen)" if at == chosen else ""), *figures.row()])
    print(f"\n{title}\n")
    print(programs.table(["threshold", *masks.HEADER], rows))


def main():
    arguments = parse()
    arguments.maskmill = programs.build() / "maskmill"
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    arguments.head = arguments.head.resolve()
    held_out = arguments.report or draw(arguments.scratch / "held-out", ["--held-out", "--masks"])
    own = thresholds(arguments.head)
    duplicate = own["mask_nms"]
    result = {"model": arguments.model, "scenes": str(held_out)}
    if arguments.keep:
        chosen = tuple(own[name] for name in IN_FILE)
    else:
        others = arguments.choose or draw(arguments.scratch / f"scenes-{arguments.first}-{arguments.count}",
                                          ["--first", arguments.first, "--count", arguments.count, "--masks"])
        compared = open_run(arguments, others, "choose")
        chosen = choose(compared, duplicate, arguments.precision + arguments.margin)
        print(f"chosen on {others.name}: {describe(chosen)}")
        print_sweep(f"{len(compared)} scenes that thresholds were chosen on", compared, chosen, duplicate)
        result["chosen_on"] = masks.judge(compared, chosen, duplicate).as_dict()

    compared = open_run(arguments, held_out, "report-open")
    expected = masks.judge(compared, chosen, duplicate)
    print_sweep(f"{len(compared)} held-out scenes, which had no say", compared, chosen, duplicate)
    head = arguments.scratch / "chosen.detector.safetensors"
    shutil.copyfile(arguments.head, head)
    thresholds(head, **dict(zip(IN_FILE, chosen)))
    figures = masks.judge(confident_masks(arguments, held_out, head, "report", {}), (0, -1, 0), 1.0)
    if figures != expected:
        programs.fail(f"a run with these thresholds gives {figures}, and their choice was made on {expected}")
    print(f"\n{describe(chosen)}, `maskmill run` on {len(compared)} held-out scenes: precision at IoU 0.75 "
          f"{figures.precision:.3f}, recall at 0.75 {figures.recall[0.75]:.3f}, at 0.5 {figures.recall[0.5]:.3f}, "
          f"{figures.masks} masks of {figures.truths} objects")
    result |= {"thresholds": dict(zip(IN_FILE, chosen)), "held_out": figures.as_dict()}
    if arguments.write:
        thresholds(arguments.head, **dict(zip(IN_FILE, chosen)))
        print(f"written into {arguments.head}")
    if arguments.round_trip:
        result["round_trip"] = round_trip.show(arguments, held_out, head)
    (arguments.scratch / "results.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
