"""One turn through annotators, played by scripts/play-annotator from the truth: what it does for the masks' recall."""

import shutil

import masks
import programs


def recall(arguments, scenes, dataset, which, name):
    out = arguments.scratch / f"turn-json-{name}"
    shutil.rmtree(out, ignore_errors=True)
    programs.run([arguments.maskmill, "export", dataset, "--format", "coco", "--masks", which, "-o", out])
    return masks.judge(masks.compare(scenes / "instances.json", out / "instances.json"))


def show(arguments, scenes, head):
    """Print recall before and after; returns both."""
    maskmill, folder = arguments.maskmill, arguments.scratch
    dataset, queue, export, answers, new = (folder / f"turn-{part}" for part in ("run", "queue", "export", "answers.json", "new"))
    for path in (dataset, queue, export, new):
        shutil.rmtree(path, ignore_errors=True)
    programs.run(programs.on_ranks(arguments.ranks, [
        maskmill, "run", scenes / "images", "-o", dataset, "-m", arguments.model, "--quiet", "--set", "detect.enabled=true",
        "--set", f"detect.head={head}", "--set", "hints.enabled=true"]))
    programs.run([maskmill, "queue", "build", dataset, "-o", queue])
    programs.run([maskmill, "queue", "export", queue, "--format", "coco", "-o", export])
    said, _ = programs.run([programs.ROOT / "scripts/play-annotator", export, scenes / "instances.json", answers, "--most",
                             arguments.most])
    programs.run([maskmill, "queue", "import", queue, answers, "-o", new, "--annotator", "script"])
    parts = {"before: masks of the grid": (dataset, "masks"), "before: confident masks": (dataset, "confident"),
             "after: masks": (new, "masks")}
    figures = {name: recall(arguments, scenes, path, which, place) for place, (name, (path, which)) in enumerate(parts.items())}
    print(f"\nThe round trip, at most {arguments.most or 'all'} masks an image by the annotator. {said.strip()}\n")
    print(programs.table(["", *masks.HEADER], [[name, *f.row()] for name, f in figures.items()]))
    before, after = figures["before: masks of the grid"].recall[0.5], figures["after: masks"].recall[0.5]
    print(f"\nmask recall at IoU 0.5: before {before:.3f}, after {after:.3f}")
    return {name: f.as_dict() for name, f in figures.items()}
