"""Starting maskmill with one checkpoint and one image, and looking at its time and memory."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


def _peak_memory(pid: int) -> int:
    """Bytes that the process has had resident at most, mapped weights included; 0 once it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def _refuse(command: list[str], status: int, errors: str):
    last = errors.strip().splitlines()[-1:] or ["no message"]
    raise RuntimeError(f"`{' '.join(command[:2])}` ended with {status}: {last[0]}")


@dataclass
class Program:
    path: str
    threads: int

    def version(self) -> str:
        return subprocess.check_output([self.path, "--version"], text=True).split()[-1]

    def _command(self, verb: str, checkpoint: Path, precision: str, params: dict) -> list[str]:
        command = [self.path, verb, "-m", str(checkpoint), "--precision", precision, "--threads", str(self.threads)]
        for key, value in params.items():
            command += ["--set", f"amg.{key}={value!r}"]
        return command

    def bench(self, checkpoint: Path, image: Path, precision: str, params: dict) -> dict:
        """The report of one run."""
        command = [*self._command("bench", checkpoint, precision, params), "--json", "--runs", "1", str(image)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            _refuse(command, done.returncode, done.stderr)
        return json.loads(done.stdout)

    def segment(self, checkpoint: Path, image: Path, precision: str, params: dict, out: Path) -> tuple[float, int]:
        """Seconds from the start of the process to the written JSON, and its peak memory in bytes."""
        command = [*self._command("segment", checkpoint, precision, params), "-c", "default", "-o", str(out), str(image)]
        errors = out.with_suffix(".log")
        begin = time.perf_counter()
        with errors.open("w") as log:
            process = subprocess.Popen(command, stderr=log)
        peak = 0  # getrusage would also count what this Python held when it forked
        while process.poll() is None:
            peak = max(peak, _peak_memory(process.pid))
            time.sleep(0.02)
        seconds = time.perf_counter() - begin
        if process.returncode:
            _refuse(command, process.returncode, errors.read_text())
        return seconds, peak
