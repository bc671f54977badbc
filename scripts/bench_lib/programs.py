"""Building and starting the programs of scripts/bench-scaling and scripts/bench-engine."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def fail(line):
    raise SystemExit(f"bench: {line}")


def build():
    """The folder with the programs: MASKMILL_BUILD, or the release preset's, built now."""
    given = os.environ.get("MASKMILL_BUILD")
    if given:
        return Path(given).resolve()
    if subprocess.run([ROOT / "scripts/build", "release"], stdout=sys.stderr).returncode:
        fail("the build failed")
    return ROOT / "build"


def environment():
    """What scripts/mpi-environment sets, and one thread a rank."""
    script = f'. "{ROOT}/scripts/mpi-environment"; env -0'
    listed = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    pairs = dict(line.split(b"=", 1) for line in listed.split(b"\0") if b"=" in line)
    return {**pairs, b"OMP_NUM_THREADS": b"1", b"OMP_WAIT_POLICY": b"passive"}


def run(command):
    """Standard output and wall-clock seconds. Status 1 is fine: images may be set aside."""
    start = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=environment())
    out, err = process.communicate()
    seconds = time.monotonic() - start
    if process.returncode not in (0, 1):
        fail(f"{' '.join(map(str, command))}\nended with {process.returncode}: {err.decode(errors='replace').strip()}")
    return out.decode(), seconds


def run_json(command):
    out, _ = run(command)
    start = out.find("{")
    if start < 0:
        fail(f"{' '.join(map(str, command))}\nprinted no result")
    return json.JSONDecoder().raw_decode(out[start:])[0]


def on_ranks(ranks, command):
    return ["mpirun", "-n", ranks, *command]


def tars_of(folder):
    return sorted(Path(folder).glob("*.tar"))


def machine():
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return f"{cpu.group(1) if cpu else 'unknown CPU'}, {os.cpu_count()} cores"


def table(header, rows):
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
