"""How much faster ranks train a decoder together than one alone: `maskmill train decoder` on a dataset, or on photographs' own
masks, by turns. Masks should be many and even, or ranks wait for the one whose images have more. Of each number of ranks a short
and a long training are timed by the clock, and the difference counts, so that start and end do not. The machine should have
nothing else to do. See docs/training.md."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import programs  # noqa: E402


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--ranks", type=int, default=2, help="(%(default)s)")
    parser.add_argument("--model", default="default", help="(%(default)s)")
    parser.add_argument("--photographs", type=Path, default=Path("/usr/share/backgrounds/mate/nature"), help="(%(default)s)")
    parser.add_argument("--dataset", type=Path, help="train on this instead of photographs")
    parser.add_argument("--masks", type=int, default=64, help="of an image in a step, at most (%(default)s)")
    parser.add_argument("--precision", default="f32", help="(%(default)s)")
    parser.add_argument("--epochs", type=int, default=2, help="that the long training is longer (%(default)s)")
    parser.add_argument("--turns", type=int, default=2, help="(%(default)s)")
    parser.add_argument("--work", type=Path, default=programs.ROOT / "build/bench-train")
    return parser.parse_args()


def main():
    given = parse()
    program, work = given.build.resolve() / "maskmill", given.work
    data = given.dataset.resolve() if given.dataset else "data"
    work.mkdir(parents=True, exist_ok=True)

    def run(ranks, *words):
        command = ["mpirun", "-n", str(ranks), program, *map(str, words)]
        if subprocess.run(command, cwd=work, stdout=subprocess.DEVNULL).returncode not in (0, 1):
            sys.exit(f"failed: {' '.join(map(str, command))}")

    def seconds(ranks, epochs):
        start = time.monotonic()
        run(ranks, "train", "decoder", data, "-m", given.model, "-o", "out.safetensors", "--embeddings", "embeddings",
            "--overwrite", "--quiet", "--validation-share", 0, "--batch", 8, "--masks", given.masks, "--rounds", 4,
            "--precision", given.precision, "--epochs", epochs)
        return time.monotonic() - start

    if not given.dataset:
        run(given.ranks, "run", given.photographs.resolve(), "-o", data, "-m", given.model, "--overwrite", "--quiet", "--set",
            "amg.points_per_side=16", "--set", "amg.pred_iou_thresh=0", "--set", "amg.stability_score_thresh=0")
    seconds(given.ranks, 1)  # embeddings
    best = {}
    for _ in range(given.turns):  # by turns, so that a slow moment of the machine hits both
        for ranks in (1, given.ranks):
            longer = seconds(ranks, 1 + given.epochs) - seconds(ranks, 1)
            best[ranks] = min(best.get(ranks, longer), longer)
    print(f"{given.epochs} epochs in {given.precision}: one rank {best[1]:.2f} s, {given.ranks} ranks {best[given.ranks]:.2f} s, "
          f"{best[1] / best[given.ranks]:.2f} times as fast")


if __name__ == "__main__":
    main()
