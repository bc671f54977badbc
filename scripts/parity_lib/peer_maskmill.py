"""maskmill by its own stopwatch (`maskmill bench`), and as a whole process (`maskmill segment`)."""

import json
from functools import partial

from bench_subject import Peer, Round, Subject


def peers() -> dict:
    return {f"{name}-{precision}": partial(make, precision=precision)
            for name, make in (("maskmill", _bench), ("segment", _segment)) for precision in ("bf16", "f32")}


def _bench(subject: Subject, precision: str) -> Peer:
    """The decoder is all that turns the embedding and prompts into low-res logits; `masks` is from there to run lengths."""
    def run() -> Round:
        report = subject.program.bench(subject.checkpoint, subject.image, precision, subject.params)
        seconds = {stage: figure["median"] for stage, figure in report["seconds"].items()}
        parts = {"whole": seconds["total"], "encoder": seconds["encode"],
                 "decoder": seconds["prepare"] + seconds["prompts"] + seconds["upscale"], "masks": seconds["masks"]}
        return Round(parts, {"report": report, "masks": report["masks"]})

    return Peer(run)


def _segment(subject: Subject, precision: str) -> Peer:
    out = subject.work / f"segment-{precision}.json"

    def run() -> Round:
        seconds, peak = subject.program.segment(subject.checkpoint, subject.image, precision, subject.params, out)
        return Round({"whole": seconds}, {"peak_bytes": peak, "masks": len(json.loads(out.read_text()))})

    return Peer(run)
