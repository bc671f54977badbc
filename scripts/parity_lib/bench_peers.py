"""Time maskmill, the reference in PyTorch, and OpenVINO on one photograph and one seeded checkpoint, in turn.

Every round runs each peer once, in the same order; medians and the medians of each round's ratios are printed, with the
bars that the project sets itself. docs/performance.md says what each peer is."""

import argparse
import importlib.metadata
import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import bench_report
import peer_maskmill
import peer_pytorch
import torch
from bench_subject import Peer, Subject
from maskmill_program import Program


def all_peers() -> dict[str, Callable]:
    """What makes each peer, by name, in the order of a round."""
    peers = {**peer_maskmill.peers(), **peer_pytorch.peers()}
    try:
        import peer_openvino
    except ImportError:
        print("OpenVINO is not installed in this Python; its peers are left out", file=sys.stderr)
        return peers
    return {**peers, **peer_openvino.peers()}


def chosen(only: str | None) -> dict[str, Callable]:
    """Peers whose name, or whose name up to a dash, is in the list."""
    peers = all_peers()
    if only is None:
        return peers
    wanted = [word for word in only.split(",") if word]
    strange = [word for word in wanted if not any(_names(word, peer) for peer in peers)]
    if strange or not wanted:
        sys.exit(f"bench-peers: --only {only}: there is no {', '.join(strange) or 'such peer'}; there are {', '.join(peers)}")
    return {peer: make for peer, make in peers.items() if any(_names(word, peer) for word in wanted)}


def _names(word: str, peer: str) -> bool:
    return f"{peer}-".startswith(f"{word}-")


def command_line(args: argparse.Namespace) -> str:
    """As it would be typed: without what the wrapper adds."""
    words = ["scripts/bench-peers", "--model", args.model, "--runs", str(args.runs), "--threads", str(args.threads)]
    return shlex.join(words + (["--only", args.only] if args.only else []))


def surroundings(subject: Subject, command: str) -> dict:
    """What the figures mean nothing without."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    versions = {"python": platform.python_version(), "maskmill": subject.program.version()}
    for package in ("torch", "openvino", "numpy", "segment-anything-py", "mobilesam-mirror"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {"command": command, "cpu": cpu, "cpus": len(os.sched_getaffinity(0)),
            "threads": subject.threads, "versions": versions, "model": subject.model, "seed": subject.seed}


def attempt(peer: str, results: bench_report.Results, work: Callable):
    """A peer that fails is named and left out; the others are still worth their time."""
    try:
        return work()
    except Exception as error:
        results.failures[peer] = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        print(f"{peer}: failed: {results.failures[peer]}", file=sys.stderr, flush=True)
        return None


def prepare(subject: Subject, makers: dict[str, Callable], results: bench_report.Results) -> dict[str, Peer]:
    """Convert, compile and warm, untimed."""
    ready = {}
    for name, make in makers.items():
        print(f"preparing {name}", file=sys.stderr, flush=True)
        peer = attempt(name, results, lambda: make(subject))
        if peer is None:
            continue
        checks = attempt(name, results, peer.warm)
        if checks:
            results.checks[name] = checks
        if name not in results.failures:
            ready[name] = peer
    return ready


def save(path: Path, about: dict, subject: Subject, results: bench_report.Results):
    """After every round, so that a run that is cut short is not lost."""
    seconds = [{"tool": tool, "part": part, "precision": precision, "seconds": values, "median": statistics.median(values),
                "ratio_to_maskmill_bf16": results.ratio((tool, part, precision), ("maskmill", part, "bf16")),
                "ratio_to_maskmill_f32": results.ratio((tool, part, precision), ("maskmill", part, "f32"))}
               for (tool, part, precision), values in results.seconds.items()]
    whole = {**about, "params": subject.known_params(), "times": seconds, "facts": results.facts,
             "checks": results.checks, "failures": results.failures,
             "bars": [bar.row(results) for bar in bench_report.BARS[subject.model]]}
    path.write_text(json.dumps(whole, indent=1) + "\n")


def text(about: dict, subject: Subject, results: bench_report.Results, rounds: int) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    head = [about["command"], f"{about['cpu']}, {about['cpus']} cores; {about['threads']} threads each; rounds: {rounds}",
            versions, f"{subject.model} (seeded), 1800x1200, {len(subject.points)} prompts"]
    if subject.known_params():
        head[-1] += f", predicted IoU > {subject.known_params()['pred_iou_thresh']:.4f}"
    return "\n".join([*head, "", bench_report.times(results), "", *bench_report.notes(results), "",
                      bench_report.bars(subject.model, results), ""])


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-peers", description=__doc__)
    parser.add_argument("--maskmill", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work", required=True, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--model", choices=list(bench_report.BARS), default="vit_b")
    parser.add_argument("--only", metavar="PEER,...", help="peers by name or by the start of it: maskmill,openvino-encoder")
    parser.add_argument("--runs", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each peer (default: 2)")
    args = parser.parse_args()
    makers = chosen(args.only)
    torch.set_num_threads(args.threads)
    work = args.work / args.model
    work.mkdir(parents=True, exist_ok=True)
    subject, results = Subject(args.model, Program(args.maskmill, args.threads), work), bench_report.Results()
    about = surroundings(subject, command_line(args))

    peers = prepare(subject, makers, results)
    done = 0
    for done in range(1, args.runs + 1):
        for name in [name for name in peers if name not in results.failures]:
            measured = attempt(name, results, peers[name].run)
            if measured:
                results.add(name, measured)
                print(f"round {done}: {name} " + ", ".join(f"{part} {value:.3f} s" for part, value in measured.seconds.items()),
                      file=sys.stderr, flush=True)
        save(work / "results.json", about, subject, results)
    report = text(about, subject, results, done)
    (work / "results.txt").write_text(report)
    print(report, end="")
    sys.exit(1 if results.failures else 0)


if __name__ == "__main__":
    main()
