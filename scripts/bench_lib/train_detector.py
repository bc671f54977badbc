"""How much faster the detector trains on several ranks than on one, embeddings made beforehand.

Each round trains on one rank and on several, with the same options, a short time and a longer one; the difference counts, so that
start and end do not. Wall-clock times are compared, and the median over rounds is told. Beside other work wall-clock lies, so the
processor time of both is printed as well: with R ranks, R x (time of one) / (time of all) is what the ranks could reach if
none ever waited for another (waiting ranks sleep)."""

import argparse
import json
import resource
import statistics
import tempfile
from pathlib import Path

import programs


def parse():
    parser = argparse.ArgumentParser(prog="bench-train-detector", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, help="a folder with instances.json and images")
    parser.add_argument("-m", "--model", default="default")
    parser.add_argument("--images", type=int, default=256, help="the first N of the scenes")
    parser.add_argument("--epochs", type=float, default=2, help="that the long training is longer than the short one")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ranks", type=int, default=2)
    return parser.parse_args()


def first_images(scenes, count, path):
    """The boxes of the first images; their masks are not needed."""
    document = json.loads((scenes / "instances.json").read_text())
    images = document["images"][:count]
    ids = {image["id"] for image in images}
    kept = [{key: value for key, value in entry.items() if key != "segmentation"}
            for entry in document["annotations"] if entry["image_id"] in ids]
    path.write_text(json.dumps({**document, "images": images, "annotations": kept}))


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    arguments = parse()
    maskmill = programs.build() / "maskmill"
    with tempfile.TemporaryDirectory(prefix="bench-train-detector-") as scratch:
        scratch = Path(scratch)
        first_images(arguments.scenes, arguments.images, scratch / "instances.json")

        def train(ranks, epochs):
            """Wall-clock and processor seconds."""
            before = processor_seconds()
            _, seconds = programs.run(programs.on_ranks(ranks, [
                maskmill, "train", "detector", scratch / "instances.json", "--images", arguments.scenes / "images",
                "-m", arguments.model, "-o", scratch / "head.safetensors", "--overwrite", "--quiet",
                "--embeddings", scratch / "embeddings",
                "--batch", arguments.batch, "--epochs", epochs]))
            return seconds, processor_seconds() - before

        def longer(ranks):
            """What epochs cost, without start and end."""
            short, long = train(ranks, 1), train(ranks, 1 + arguments.epochs)
            return long[0] - short[0], long[1] - short[1]

        train(arguments.ranks, 0.05)  # embeddings
        rounds = []
        for _ in range(arguments.rounds):
            (one, one_used), (all_ranks, all_used) = longer(1), longer(arguments.ranks)
            rounds.append((one, all_ranks, one / all_ranks, one_used, all_used, arguments.ranks * one_used / all_used))
    print(f"{programs.machine()}; {arguments.images} images, {arguments.epochs:g} epochs, batches of {arguments.batch}\n")
    print(programs.table(["one rank, s", f"{arguments.ranks} ranks, s", "faster", "one rank, CPU s",
                          f"{arguments.ranks} ranks, CPU s", "by CPU"], [[f"{value:.2f}" for value in row] for row in rounds]))
    print(f"\n{arguments.ranks} ranks are {statistics.median(row[2] for row in rounds):.2f} times as fast as one "
          f"({statistics.median(row[5] for row in rounds):.2f} by processor time)")


if __name__ == "__main__":
    main()
