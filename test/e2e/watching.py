"""Watching a running job."""
import subprocess
from pathlib import Path

from harness import require


def rank_processes(job):
    """Process ids of the ranks that run this job file."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile
            continue
        if str(job).encode() in words and b"mpirun" not in words[0]:
            found.append(int(entry.name))
    return found


def wait_for_step(process, folder, step):
    """Returns once metrics.jsonl has `step` lines of steps; the run has to be still going then."""
    while True:
        text = (folder / "metrics.jsonl").read_text() if (folder / "metrics.jsonl").exists() else ""
        if text.count('"grad_norm"') >= step:
            return
        try:
            output, _ = process.communicate(timeout=0.02)
            require(False, f"the run is still going at step {step}", output)
        except subprocess.TimeoutExpired:
            pass
