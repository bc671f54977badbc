"""Tables of what the peers gave: every part of every peer beside maskmill's, and the bars that the project sets itself."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from statistics import median


@dataclass
class Results:
    """Seconds by (tool, part, precision), one a round, and maskmill's reports by precision; every list is in the order of
    the rounds, so that a ratio is taken within a round, where both sides met the machine in the same mood."""

    seconds: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    facts: dict[str, list[dict]] = field(default_factory=dict)  # by peer
    checks: dict[str, dict] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, peer: str, measured):
        tool, precision = peer.split("-")[0], peer.split("-")[-1]
        for part, value in measured.seconds.items():
            self.seconds.setdefault((tool, part, precision), []).append(value)
        self.facts.setdefault(peer, []).append(measured.facts)

    def ratio(self, other: tuple, ours: tuple) -> float | None:
        ratios = [a / b for a, b in zip(self.seconds.get(other, []), self.seconds.get(ours, []))]
        return median(ratios) if ratios else None

    def report(self, precision: str, *keys: str) -> float | None:
        """The median of one figure of `maskmill bench --json`; None without a run or where it has none to give."""
        values = [reduce(dict.__getitem__, keys, facts["report"]) for facts in self.facts.get(f"maskmill-{precision}", [])]
        return median(values) if values and None not in values else None


@dataclass(frozen=True)
class Bar:
    what: str
    bound: float
    unit: str  # "x", "%" or "MB"
    measure: Callable[[Results], float | None]
    at_least: bool = True

    def row(self, results: Results) -> list[str]:
        found = self.measure(results)
        sign = ">=" if self.at_least else "<"
        bound = f"{sign} {self.bound:g} {self.unit}"
        if found is None:
            return [self.what, "-", bound, "not measured"]
        met = found >= self.bound if self.at_least else found < self.bound
        digits = 2 if self.unit == "x" and found < 10 else 1
        return [self.what, f"{found:.{digits}f} {self.unit}", bound, "met" if met else "missed"]


def _ratio(part: str, precision: str, tool: str, theirs: str) -> Callable[[Results], float | None]:
    return lambda results: results.ratio((tool, part, theirs), ("maskmill", part, precision))


def _percent(precision: str, *keys: str) -> Callable[[Results], float | None]:
    def measure(results):
        share = results.report(precision, *keys)
        return None if share is None else 100 * share
    return measure


def _share_of_masks(results: Results) -> float | None:
    share = results.ratio(("maskmill", "masks", "bf16"), ("maskmill", "whole", "bf16"))
    return None if share is None else 100 * share


def _own_memory(results: Results) -> float | None:
    """What a rank has to itself: mapped weights are shared by the ranks of a machine."""
    own = results.report("bf16", "memory", "own_bytes")
    return None if own is None else own / 1e6


BARS = {
    "vit_b": [
        Bar("whole image, bf16, against PyTorch f32", 50, "x", _ratio("whole", "bf16", "pytorch", "f32")),
        Bar("encoder bf16 against OpenVINO bf16", 1.3, "x", _ratio("encoder", "bf16", "openvino", "bf16")),
        Bar("encoder bf16, share of the bf16 peak", 65, "%", _percent("bf16", "peak_share", "encode")),
        Bar("encoder f32 against OpenVINO f32", 1.3, "x", _ratio("encoder", "f32", "openvino", "f32")),
        Bar("decoder bf16 against PyTorch f32", 40, "x", _ratio("decoder", "bf16", "pytorch", "f32")),
        Bar("decoder bf16, share of the bf16 peak", 45, "%", _percent("bf16", "peak_share", "decode")),
        Bar("decoder bf16 against OpenVINO bf16", 8, "x", _ratio("decoder", "bf16", "openvino", "bf16")),
        Bar("logits to RLE, bf16, of the whole", 10, "%", _share_of_masks, at_least=False),
        Bar("memory without mapped weights, bf16", 1000, "MB", _own_memory, at_least=False),
    ],
    "mobile_sam": [
        Bar("whole image, bf16, against PyTorch f32", 50, "x", _ratio("whole", "bf16", "pytorch", "f32")),
        Bar("logits to RLE, bf16, of the whole", 10, "%", _share_of_masks, at_least=False),
        Bar("memory without mapped weights, bf16", 400, "MB", _own_memory, at_least=False),
    ],
}


def table(head: list[str], rows: list[list[str]]) -> str:
    """Aligned columns, the first to the left and the others to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = ["  ".join(cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths)))
             for row in [head, ["-" * width for width in widths], *rows]]
    return "\n".join(lines)


def times(results: Results) -> str:
    """Parts together, so that what compares stands one below the other; a ratio says how many times as long as
    maskmill's same part a peer's takes."""
    head = ["part", "peer", "precision", "median s", "min", "max", "/ maskmill bf16", "/ maskmill f32"]
    rows = []
    for part in ("whole", "encoder", "decoder", "masks"):
        for (tool, its_part, precision), values in results.seconds.items():
            if its_part != part:
                continue
            ratios = [results.ratio((tool, part, precision), ("maskmill", part, ours)) for ours in ("bf16", "f32")]
            rows.append([part, tool, precision, *(f"{value:.3f}" for value in (median(values), min(values), max(values))),
                         *("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios)])
    return table(head, rows)


def notes(results: Results) -> list[str]:
    """Masks and memory where they are known, how near OpenVINO's numbers are to PyTorch's, and what failed."""
    lines = []
    for peer, rounds in results.facts.items():
        words = []
        if "masks" in rounds[-1]:
            words.append(f"{rounds[-1]['masks']} masks")
        if "report" in rounds[-1]:
            words.append("{prompts_kept} of {prompts} prompts kept, {kernels}".format_map(rounds[-1]["report"]))
        if "peak_bytes" in rounds[-1]:
            words.append(f"peak {max(facts['peak_bytes'] for facts in rounds) / 1e6:.0f} MB")
        if words:
            lines.append(f"{peer}: {', '.join(words)}")
    lines += [f"{peer}: relative error {checks['error']:.1e} against PyTorch f32" for peer, checks in results.checks.items()]
    return lines + [f"{peer}: failed: {why}" for peer, why in results.failures.items()]


def bars(model: str, results: Results) -> str:
    return table(["bar", "measured", "wanted", ""], [bar.row(results) for bar in BARS[model]])
