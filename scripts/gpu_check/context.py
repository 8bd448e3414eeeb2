"""What a stage is given, and what it leaves."""
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import processes
from .machine import Machine
from .programs import Programs

PASSED, FAILED, SKIPPED, TIMED_OUT = "passed", "failed", "skipped", "timed_out"
NOTHING_TO_TEST = 77  # the exit status of a test that lacks what it needs
LOG_TAIL = 1500       # characters of a failed program's output that the result keeps


@dataclass
class Result:
    """Of one check, or of a stage, whose checks are in details["checks"]."""
    name: str
    status: str
    seconds: float = 0.0
    summary: str = ""
    details: dict = field(default_factory=dict)

    def as_json(self):
        return {"name": self.name, "status": self.status, "seconds": round(self.seconds, 2), "summary": self.summary,
                **self.details}


@dataclass
class Context:
    machine: Machine
    programs: Programs
    rehearse: bool
    logs: Path           # stay with the results
    work: Path           # removed at the end
    cases: list          # folders of reference cases
    peer_python: str | None
    deadline: float = 0  # of the running stage, by time.monotonic()

    def left(self):
        return max(0.0, self.deadline - time.monotonic())

    @property
    def device(self):
        """Settings of every job."""
        return {"device.type": "cpu"} if self.rehearse else {"device.type": "cuda", "device.share": "true"}

    def variables(self, **more):
        """The environment of the programs.  mpirun as root, more ranks than cores; what Open MPI leaves lies in `work`."""
        own = {"LD_LIBRARY_PATH": self.machine.library_path, "TMPDIR": str(self.work),
               "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
               "TESSERA_E2E_SETTINGS": " ".join(f"{key}={value}" for key, value in self.device.items())}
        return {**os.environ, **own, **more}

    def run(self, name, command, seconds=None, variables=None, until=None):
        """A program of this stage, until the stage's time is over at the latest."""
        log = self.logs / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        return processes.run(command, log, min(seconds or self.left(), self.left()), variables or self.variables(), until)

    def check(self, name, command, **options):
        """A program that tests: its exit status says how that ended."""
        finished = self.run(name, command, **options)
        return Result(name, status_of(finished), finished.seconds, *told_by(finished))


def status_of(finished):
    if finished.timed_out:
        return TIMED_OUT
    return {0: PASSED, NOTHING_TO_TEST: SKIPPED}.get(finished.status, FAILED)


def told_by(finished):
    """(summary, details) of a test program: its last line, and where it failed the end of its output."""
    lines = finished.output.strip().splitlines()
    last = lines[-1] if lines else ""
    details = {} if status_of(finished) == PASSED else {"exit_status": finished.status, "output": finished.output[-LOG_TAIL:]}
    return last[:200], details


def summarise(name, checks):
    """A stage's result out of those of its checks: the worst counts, and skipped only where nothing else was."""
    worst = next((status for status in (FAILED, TIMED_OUT, PASSED) if any(c.status == status for c in checks)), SKIPPED)
    counts = ", ".join(f"{sum(c.status == status for c in checks)} {status.replace('_', ' ')}"
                       for status in (PASSED, FAILED, TIMED_OUT, SKIPPED) if any(c.status == status for c in checks))
    reasons = "; ".join(f"{c.name}: {c.summary}" for c in checks if c.status != PASSED)
    return Result(name, worst, summary=f"{counts}{': ' if reasons else ''}{reasons}",
                  details={"checks": [check.as_json() for check in checks]})
