"""The loop experiment: three rounds of the data engine on a family of pictures that the model has not seen (docs/engine-loop.md).

    scripts/engine-loop OUT [--model M] [--ranks N] [--small]

Draws mosaics (mosaics.py) and scenes of the old kind (scripts/train_default), makes datasets of the truth of those that are
measured with, then drives `maskmill engine` and answers each round's queue with scripts/play-annotator. OUT gets
figures.json, table.md and curves.png. Give the same command again to go on where it stopped. The exit status is 1 if the
loop does not show what it should: more at one click on mosaics in each round, in total at least 8 points, and less than 2
points lost on scenes of the old kind, at one click, three, and by a box."""

import argparse
import json
import os
import pathlib
import resource
import shlex
import shutil
import subprocess
import sys
import time

import curves

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PICTURES = 60  # mosaics a round
REPLAY = dict(first=890000, count=240)
SMALL = 6      # pictures of each kind, in the small way; its scenes are no held-out ones
SMALL_SCENES = 950000
BLANK = ["--set", "amg.points_per_side=1", "--set", "amg.pred_iou_thresh=1", "--set", "amg.max_area_fraction=1e-9"]
BEGIN, END = "<!-- of scripts/engine-loop --docs -->", "<!-- end -->"
LEAST_GAIN, MOST_LOSS = 0.08, 0.02


class Experiment:
    def __init__(self, arguments):
        self.out = arguments.out.resolve()
        self.program = str(arguments.program.resolve())
        self.model = arguments.model
        found = pathlib.Path(self.model)
        if found.is_file():
            self.model = str(found.resolve())
        self.ranks = arguments.ranks
        self.small = arguments.small
        self.docs = arguments.docs
        self.out.mkdir(parents=True, exist_ok=True)

    # --- single commands ---

    def run(self, *command, allowed=(0,)):
        command = [str(word) for word in command]
        print("+", shlex.join(command), flush=True)
        status = subprocess.run(command, cwd=self.out).returncode
        if status not in allowed:
            raise SystemExit(f"engine-loop: status {status} from: {shlex.join(command)}")
        return status

    def maskmill(self, *words, parallel=False, allowed=(0,)):
        ranks = ["mpirun", "-n", self.ranks] if parallel and self.ranks > 1 else []
        return self.run(*ranks, self.program, *words, allowed=allowed)

    def python(self, script, *words):
        return self.run(sys.executable, script, *words)

    # --- pictures and their truth ---

    def draw(self):
        mosaics, scenes = HERE / "mosaics.py", ROOT / "scripts/train_default/coco.py"
        few = ["--count", SMALL] if self.small else []
        each, replay = (SMALL, SMALL) if self.small else (PICTURES, REPLAY["count"])
        for k in (1, 2, 3):
            self.draw_one(mosaics, f"round-{k}/truth.json", "--first", PICTURES * (k - 1), "--count", each)
        self.draw_one(mosaics, "held-out/truth.json", "--held-out", *few)
        self.draw_one(scenes, "replay/instances.json", "--masks", "--first", REPLAY["first"], "--count", replay)
        measured = ["--first", SMALL_SCENES, *few] if self.small else ["--held-out"]
        self.draw_one(scenes, "scenes/instances.json", "--masks", *measured)

    def draw_one(self, script, truth, *words):
        if not (self.out / truth).exists():  # the truth is written last
            self.python(script, pathlib.Path(truth).parent, *words, "--processes", self.ranks)

    def answer(self, queue, truth, answers):
        """The annotator's answers to a queue; they get their name when they are whole."""
        export = self.out / "export"
        shutil.rmtree(export, ignore_errors=True)
        self.maskmill("queue", "export", queue, "--format", "coco", "-o", export)
        self.python(ROOT / "scripts/play-annotator", export, truth, answers, "--annotator", "script")

    def dataset(self, name, truth):
        """The truth of drawn pictures as a dataset: a run without masks, a queue, answers."""
        if (self.out / f"{name}-dataset").exists():
            return
        blank, queue, answers = (self.out / f"{name}-{part}" for part in ("blank", "queue", "answers.json"))
        self.maskmill("run", f"{name}/images", "-o", blank, "-m", self.model, "--resume", "--quiet", *BLANK, parallel=True)
        if not queue.exists():
            self.maskmill("queue", "build", blank, "-o", queue, "--prefill", "nothing")
        self.answer(queue, truth, answers)
        self.maskmill("queue", "import", queue, answers, "-o", f"{name}-dataset")

    # --- the loop ---

    def configure(self):
        text = (HERE / "engine.yaml").read_text().replace("@MODEL@", json.dumps(self.model))
        config = self.out / "engine.yaml"
        if not config.exists() or config.read_text() != text:
            config.write_text(text)

    def loop(self):
        for _ in range(4):
            if self.maskmill("engine", "engine.yaml", "-o", "loop", "--resume", parallel=True, allowed=(0, 3)) == 0:
                return
            state = json.loads((self.out / "loop/engine.json").read_text())
            k = len(state["rounds"])
            folder = self.out / f"loop/round-{k:02d}"
            if state["rounds"][-1].get("status") != "waits for answers" or any((folder / "answers").glob("*.json")):
                raise SystemExit("engine-loop: stopped; give the same command again to go on")
            self.answer(folder / "queue", f"round-{k}/truth.json", folder / "answers/played.json")
        raise SystemExit("engine-loop: the loop did not end")

    # --- what came of it ---

    def report(self, seconds):
        state = json.loads((self.out / "loop/engine.json").read_text())
        figures = [state["figures"]] + [one["figures"] for one in state["rounds"]]
        drawn = [0] + [one["answers"]["images"] for one in state["rounds"]]
        masks = [0] + [one["answers"]["added"] for one in state["rounds"]]
        clicks = [one["mosaics"]["clicks"][0] for one in figures]
        asked = {"1 click": lambda one: one["clicks"][0], "3 clicks": lambda one: one["clicks"][2], "box": lambda one: one["box"]}
        scenes = {name: [of(one["scenes"]) for one in figures] for name, of in asked.items()}
        lost = {name: values[0] - min(values) for name, values in scenes.items()}  # at the worst of the rounds
        result = {"model_sha256": state["model"]["sha256"], "figures": figures, "images": drawn, "masks": masks,
                  "gain": clicks[-1] - clicks[0], "lost_on_scenes": lost,
                  "rises": all(b > a for a, b in zip(clicks, clicks[1:]))}
        timing = self.out / "seconds.json"
        spent = json.loads(timing.read_text()) if timing.exists() else {"wall": 0, "processor": 0}
        result["seconds"] = {name: spent[name] + seconds[name] for name in spent}
        timing.write_text(json.dumps(result["seconds"]))
        (self.out / "figures.json").write_text(json.dumps(result, indent=2) + "\n")
        table = curves.table(result)
        (self.out / "table.md").write_text(table)
        curves.draw(result, self.out / "curves.png")
        print(table)
        good = result["rises"] and result["gain"] >= LEAST_GAIN and max(lost.values()) < MOST_LOSS
        line = (f"{100 * result['gain']:.1f} points gained at one click on mosaics, "
                f"{'rising' if result['rises'] else 'not rising'} in each round; lost on scenes at the worst of the rounds "
                f"{', '.join(f'{100 * value:.1f} ({name})' for name, value in lost.items())}; "
                f"{result['seconds']['processor'] / 60:.0f} processor minutes for all of it.")
        print(f"engine-loop: {'shown' if good else 'NOT shown'}: {line}")
        if self.docs:
            self.write_page(f"{table}\nModel `{state['model']['sha256'][:16]}...`: {line}\n")
        return 0 if good or self.small else 1


    def write_page(self, text):
        """Puts the table into docs/engine-loop.md, between its marks, and the curves beside the other pictures."""
        page = ROOT / "docs/engine-loop.md"
        before, _, rest = page.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        if not after:
            raise SystemExit(f"engine-loop: {page} has lost the marks {BEGIN} and {END}")
        page.write_text(f"{before}{BEGIN}\n{text}\n![figures by round](images/loop-curves.png)\n{END}{after}")
        shutil.copyfile(self.out / "curves.png", ROOT / "docs/images/loop-curves.png")


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     prog="engine-loop")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--model", default="default", help="a name or a file of a model")
    parser.add_argument("--ranks", type=int, default=2, help="of mpirun; pictures are drawn by as many processes")
    parser.add_argument("--docs", action="store_true", help="put table and curves into docs/")
    parser.add_argument("--small", action="store_true", help="a few pictures of each, to see that everything runs; shows nothing")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/maskmill")
    arguments = parser.parse_args()
    if arguments.small and arguments.docs:
        parser.error("--small shows nothing that docs/ should have")
    if not os.access(arguments.program, os.X_OK):
        raise SystemExit(f"engine-loop: {arguments.program} is not there; scripts/build makes it")
    experiment = Experiment(arguments)
    began = time.monotonic()
    experiment.draw()
    for name, truth in (("held-out", "truth.json"), ("scenes", "instances.json"), ("replay", "instances.json")):
        experiment.dataset(name, f"{name}/{truth}")
    experiment.configure()
    experiment.loop()
    return experiment.report({"wall": time.monotonic() - began, "processor": processor_seconds()})


if __name__ == "__main__":
    sys.exit(main())
