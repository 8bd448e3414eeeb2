"""What the end-to-end tests share: runs of the real program under mpirun, claims, skips.

A test is a script `NAME.py TRAIN [ARGUMENT …]` that CTest or scripts/gpu-check starts; it ends with status 0, 1 with what
was wrong, or 77 where something that it needs is not there.  Nothing beyond Python's standard library is imported here.
TESSERA_E2E_SETTINGS ("device.type=cuda device.share=true") is set in every job that does not say otherwise.
"""
import atexit
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from compare_metrics import differences, read_steps  # noqa: E402
from reference_cases import OWN_CASES, Case, environment, write_job  # noqa: E402, F401

SKIP = 77
TIMEOUT = 300  # seconds of one run; a run that hangs is ended and fails


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIP)


def fail(claim, details=""):
    print(f"FAILED: {claim}\n{details}")
    sys.exit(1)


def require(condition, claim, details=""):
    if not condition:
        fail(claim, details)
    print(f"ok: {claim}", flush=True)


@contextlib.contextmanager
def workspace():
    """A directory of this test alone, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="tessera-e2e-") as folder:
        yield Path(folder)


ON_CPU = {"device.type": "cpu"}


def settings_of_all_jobs():
    return dict(setting.split("=", 1) for setting in os.environ.get("TESSERA_E2E_SETTINGS", "").split())


def on_gpu():
    """Settings of the jobs that a test wants on GPUs; a rehearsal has them elsewhere."""
    return settings_of_all_jobs() or {"device.type": "cuda", "device.share": "true"}


class Program:
    """The program under test, and mpirun: the one of the bundle that the program lies in, or this machine's."""

    def __init__(self, train):
        self.train = str(train)
        self.mpirun = shutil.which("mpirun", path=Path(train).resolve().parent / "bin") or shutil.which("mpirun")
        if not self.mpirun:
            skip("no mpirun here; scripts/setup.sh installs it")

    def start(self, ranks, arguments, program=None):
        command = [self.mpirun, "-n", str(ranks), program or self.train, *map(str, arguments)]
        process = subprocess.Popen(command, env=environment(),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        atexit.register(process.terminate)  # a failed test leaves nothing running
        return process

    def run(self, folder, settings, ranks=1, expect=0):
        """Trains in `folder` (made if it is not there) and returns it; the exit status has to be `expect`."""
        process = self.start(ranks, [self.job(folder, settings)])
        self.finish(process, expect, f"{ranks} ranks, {folder.name}")
        return folder

    def job(self, folder, settings):
        folder.mkdir(parents=True, exist_ok=True)
        write_job(folder / "job.ini", {**settings_of_all_jobs(), **settings, "job.output_dir": folder})
        return folder / "job.ini"

    def finish(self, process, expect, what):
        try:
            output, _ = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            fail(f"{what}: ends within {TIMEOUT} s", process.communicate()[0])
        if process.returncode != expect:
            fail(f"{what}: exit status {expect}", f"it was {process.returncode}:\n{output}")
        if "MCA variable" in output:  # of the settings that cluster/launch.cpp makes
            fail(f"{what}: Open MPI has nothing to say of the settings it is given", output)
        return output

    def require_told_once(self, claim, folder, settings, expected, variables=None, by_rank="", ranks=2):
        """The job ends with exit code 3 and one error, which has one of the words expected.  `variables`: of the ranks'
        environment; `by_rank`: assignments that a shell makes in each rank, "A=$OMPI_COMM_WORLD_RANK"."""
        command = ["sh", "-c", f'{by_rank} exec "$0" "$1"'] if by_rank else []
        done = subprocess.run([self.mpirun, "-q", "-n", str(ranks), *command, self.train, str(self.job(folder, settings))],
                              env={**environment(), **(variables or {})}, text=True, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=120)
        output = done.stdout + done.stderr
        errors = [line for line in output.splitlines() if "error:" in line]
        require(done.returncode == 3, f"{claim}: exit code 3", (done.returncode, output))
        require(len(errors) == 1 and any(words in errors[0] for words in expected), f"{claim}: one message says so", output)

    def alone(self, *arguments, expect=0):
        """A verb without mpirun; what it printed."""
        done = subprocess.run([self.train, *map(str, arguments)], env=environment(), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=TIMEOUT)
        if done.returncode != expect:
            fail(f"train {' '.join(map(str, arguments))}: exit status {expect}",
                 f"it was {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr


def metrics(folder):
    with open(folder / "metrics.jsonl", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def steps(folder):
    rows = read_steps(folder / "metrics.jsonl")
    for row in rows:
        if not 0 < row["mfu"] <= 1:
            fail(f"{folder.name}: no step's products are faster than the device's peak", row)
    return rows


def curve(folder):
    """What has to be equal between equal runs: not the times."""
    return [(row["step"], row["loss"], row["grad_norm"], row["learning_rate"]) for row in steps(folder)]


def near(a, b, rtol):
    """Whether two curves agree: losses within rtol, gradient norms within ten times that."""
    return len(a) == len(b) and all(abs(x[1] - y[1]) <= rtol * abs(y[1]) and abs(x[2] - y[2]) <= 10 * rtol * abs(y[2])
                                    for x, y in zip(a, b))


def require_reference(case, folder, claim, precision="fp32", first=1):
    """The steps from `first` on are those of the case."""
    rows = steps(folder)
    expected = {key: value[first - 1:] if isinstance(value, list) and len(value) == case.job["max_steps"] else value
                for key, value in case.expected.items()}
    if precision == "fp32" and case.job.get("optimizer") == "adamw_8bit":
        precision = "8-bit"
    found = differences([row for row in rows if row["step"] >= first], expected, precision)
    require(not found, claim, "\n".join(found[:12]))


def program():
    """The program named by the first argument, and the other arguments."""
    return Program(sys.argv[1]), sys.argv[2:]
