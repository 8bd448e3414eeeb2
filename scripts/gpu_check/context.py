"""What a stage is given, and what it leaves."""
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from reference_cases import environment

from . import processes
from .machine import Machine
from .programs import Programs

PASSED, FAILED, SKIPPED, TIMED_OUT = "passed", "failed", "skipped", "timed_out"
NOTHING_TO_TEST = 77  # the exit status of a test that lacks what it needs
LOG_TAIL = 1500       # characters of a failed program's output that the result keeps


@dataclass
class Result:
    """Of a stage, or of one of its checks, which are in details["checks"]."""
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
    logs: Path           # packed beside the results
    work: Path           # removed at the end
    cases: list          # folders of reference cases
    peer_python: str | None
    deadline: float = 0  # of the running stage, by time.monotonic()
    measured: dict | None = None  # bench_kernels' report, from the stage that times the kernels on

    def left(self):
        return max(0.0, self.deadline - time.monotonic())

    @property
    def device(self):
        """Settings of every job."""
        return {"device.type": "cpu"} if self.rehearse else {"device.type": "cuda", "device.share": "true"}

    def variables(self, **more):
        """The environment of the programs; what Open MPI leaves of ranks that were ended lies in `work`."""
        own = {"LD_LIBRARY_PATH": self.machine.library_path, "TMPDIR": str(self.work),
               "TESSERA_E2E_SETTINGS": " ".join(f"{key}={value}" for key, value in self.device.items())}
        return {**environment(), **own, **more}

    def run(self, name, command, seconds=None, variables=None, until=None):
        """A program of this stage, ended at the latest when the stage's time is over."""
        log = self.logs / plain(f"{name}.log")
        log.parent.mkdir(parents=True, exist_ok=True)
        limit = min(seconds or self.left(), self.left())
        return processes.run(command, log, limit, variables or self.variables(), until)

    def check(self, stage, name, command, variables):
        """A program that tests: its exit status says how that ended, its last line what was seen."""
        finished = self.run(f"{stage}/{name}", command, variables=variables)
        status, lines = status_of(finished), finished.output.strip().splitlines()
        details = {} if status == PASSED else {"exit_status": finished.status, "output": finished.output[-LOG_TAIL:]}
        return Result(name, status, finished.seconds, lines[-1][:200] if lines else "", details)


def plain(name):
    """As a file is called: letters, digits, . _ - and the / of a folder."""
    return re.sub(r"[^\w./-]+", "-", name, flags=re.ASCII)


def missing(stage, program):
    return Result(stage, FAILED, summary=f"{program} is not there; build it, or unpack the bundle whole")


def status_of(finished):
    if finished.timed_out:
        return TIMED_OUT
    return {0: PASSED, NOTHING_TO_TEST: SKIPPED}.get(finished.status, FAILED)


def summarise(name, checks):
    """A stage's result out of those of its checks: the worst counts, and skipped only where all were."""
    there = {status for status in (FAILED, TIMED_OUT, PASSED, SKIPPED) if any(c.status == status for c in checks)}
    worst = next(status for status in (FAILED, TIMED_OUT, PASSED, SKIPPED) if status in there or status == SKIPPED)
    counts = ", ".join(f"{sum(c.status == status for c in checks)} {status.replace('_', ' ')}"
                       for status in (PASSED, FAILED, TIMED_OUT, SKIPPED) if status in there)
    reasons = "; ".join(f"{c.name}: {c.summary}" for c in checks if c.status != PASSED)
    return Result(name, worst, summary=": ".join(filter(None, [counts, reasons])),
                  details={"checks": [check.as_json() for check in checks]})
