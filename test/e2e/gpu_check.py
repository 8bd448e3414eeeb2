"""gpu_check.py TRAIN [BENCH_KERNELS]: scripts/gpu-check, rehearsed on a CPU: every stage leaves a result, and one that fails
or hangs stops no other.  compute-sanitizer is a stand-in, and without BENCH_KERNELS so is that.
"""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness import ROOT, program, require, skip, workspace

STAGES = ["unit", "reference", "resume", "ranks", "sanitizer", "kernels", "training"]
MEASURED = {"device": "stand-in", "copy_bytes_per_second": 1e9, "gemm_flops_per_second": {"bf16": 2e9, "f32": 1e9},
            "kernels": [{"name": "rmsnorm_forward", "shape": "T = 8", "dtype": "bf16", "seconds": 2e-6, "bytes": 1000,
                         "flops": 0, "bound_seconds": 1e-6, "fraction_of_bound": 0.5}]}
STAND_INS = {
    "compute-sanitizer": 'while [ "${1#--}" != "$1" ]; do shift 2; done\n"$@" && echo "ERROR SUMMARY: 0 errors"',
    "bench_kernels": f"while [ $1 != --json ]; do shift; done\necho '{json.dumps(MEASURED)}' >$2",
    "hangs": "sleep 98765 & wait",
    "fails": "echo it fails; exit 1",
}


class GpuCheck:
    def __init__(self, train, place, bench_kernels=None):
        self.place, self.train = place, train
        self.bench_kernels = bench_kernels or place / "bench_kernels"
        for name, text in STAND_INS.items():
            (place / name).write_text(f"#!/bin/sh\n{text}\n")
            (place / name).chmod(0o755)

    def start(self, output, *arguments, train=None):
        command = [sys.executable, ROOT / "scripts/gpu-check", "--rehearse", "--train", train or self.train,
                   "--bench-kernels", self.bench_kernels, "--output", self.place / output, *arguments]
        variables = {**os.environ, "PATH": f"{self.place}{os.pathsep}{os.environ['PATH']}"}
        return subprocess.Popen(list(map(str, command)), env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)

    def run(self, output, *arguments, train=None):
        """(exit status, stages by name, gpu-check.md, what it printed)."""
        process = self.start(output, *arguments, train=train)
        printed, _ = process.communicate()
        return process.returncode, self.stages(output), (self.place / output / "gpu-check.md").read_text(), printed

    def result(self, output):
        try:
            return json.loads((self.place / output / "gpu-check.json").read_text())
        except FileNotFoundError:
            return {"stages": []}

    def stages(self, output):
        return {stage["name"]: stage for stage in self.result(output)["stages"]}


def sleepers():
    """Processes that the stand-in that hangs has started."""
    def words(process):
        try:
            return (process / "cmdline").read_bytes()
        except OSError:
            return b""  # it has ended meanwhile

    return sum(words(process).startswith(b"sleep\x0098765") for process in Path("/proc").glob("[0-9]*"))


def every_stage_leaves_a_result(check):
    status, stages, page, printed = check.run("whole")
    require(list(stages) == STAGES, "gpu-check.json has every stage", list(stages))
    require(all(stage["status"] in ("passed", "skipped") for stage in stages.values()),
            "each passes, or is skipped with a reason", printed)
    require(status == 0, "then the exit status is 0", (status, printed))
    require(all(f"| {name} | " in page for name in STAGES), "gpu-check.md has every stage", page)
    require("REHEARSED" in page and check.result("whole")["rehearsed"] and
            all("rehearsed" in stage["summary"] for stage in stages.values()), "a rehearsal says so everywhere", page)
    shapes = stages["training"]["shapes"]
    require(len(shapes) == 4 and all(shape["tokens_per_second"] > 0 and shape["packed_tokens_per_second"] > 0 and
                                     shape["plan_bytes"] > 0 and shape["c_mfu"] is None and "ratio" not in shape
                                     for shape in shapes.values()),
            "four shapes train, with no figure that only a GPU has", shapes)
    require(all(row["verdict"] == "not judged" for row in stages["training"]["targets"]), "no target is judged",
            stages["training"]["targets"])
    require(all("peer" in shape for shape in shapes.values()) or "not there" in stages["training"]["summary"],
            "PyTorch trains beside, or is said not to be there", stages["training"])


def a_failure_stops_no_other_stage(check):
    status, stages, page, printed = check.run("failing", "--stages", "reference,kernels,training",
                                              train=check.place / "fails")
    require(status == 1, "where train fails the exit status is 1", (status, printed))
    require([stages[name]["status"] for name in ("reference", "kernels", "training")] == ["failed", "passed", "failed"],
            "its stages are failed, the others run", printed)
    require("it fails" in page, "gpu-check.md has what it printed", page)


def a_stage_that_hangs_is_ended(check):
    status, stages, _, printed = check.run("hanging", "--stages", "kernels,sanitizer", "--limit", "kernels=2",
                                           "--bench-kernels", check.place / "hangs")
    require(status == 1 and stages["kernels"]["status"] == "timed_out", "a stage that hangs is told as timed out", printed)
    require(stages["sanitizer"]["status"] == "passed", "the next one runs", printed)
    require(sleepers() == 0, "nothing of it is left running")


def a_killed_run_leaves_what_it_has(check):
    process = check.start("killed", "--stages", "sanitizer,kernels", "--bench-kernels", check.place / "hangs")
    while process.poll() is None and not (check.stages("killed") and sleepers()):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate()
    require(process.returncode != 0 and list(check.stages("killed")) == ["sanitizer"],
            "a run that is ended leaves the stages that were done", printed)
    require(sleepers() == 0, "and nothing running")


train, bench_kernels = program()
if sys.version_info < (3, 10):
    skip("scripts/gpu-check needs Python 3.10")
with workspace() as place:
    check = GpuCheck(Path(train.train).resolve(), place, *bench_kernels)
    a_failure_stops_no_other_stage(check)
    a_stage_that_hangs_is_ended(check)
    a_killed_run_leaves_what_it_has(check)
    every_stage_leaves_a_result(check)
