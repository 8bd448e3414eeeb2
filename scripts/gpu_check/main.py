"""gpu-check: tests and measures Tessera on the GPU of this machine, from an unpacked bundle or a build tree.

    scripts/gpu-check                                 every stage, in at most 9 minutes; results in ./gpu-check
    scripts/gpu-check --stages unit,training          these alone; each takes the time that the others do not
    scripts/gpu-check --rehearse                      the same script on a CPU with tiny shapes: tries the script, measures nothing

Needs an NVIDIA GPU with its driver, Python 3.10, and CUDA's libraries in /usr/local/cuda or as Python packages (nvidia-cublas,
nvidia-cudnn-cu13, nvidia-nccl-cu13, nvidia-cuda-nvrtc); no compiler.  A Python with torch and transformers, where there is
one, is what the training is compared with.  Exit status 0: all passed, or skipped with a reason; 1: not so.
"""
import argparse
import datetime
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import processes, report
from .checks import ranks, reference, resume, sanitizer, unit
from .context import FAILED, PASSED, SKIPPED, Context, Result
from .kernels import kernels
from .machine import find_peer_python, look_at_machine
from .programs import OWN_CASES, commit, find_programs
from .training import training

WHOLE = 525  # seconds, starting the last program included: a minute of the ten that a remote call may last stays free

STAGES = {  # name -> (what runs, seconds at most).  What a stage leaves over, the later ones may take.
    "unit": (unit, 80),
    "reference": (reference, 70),
    "resume": (resume, 40),
    "ranks": (ranks, 60),
    "sanitizer": (sanitizer, 60),
    "kernels": (kernels, 40),
    "training": (training, WHOLE),
}


def parse(arguments):
    parser = argparse.ArgumentParser(prog="gpu-check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", default=",".join(STAGES), help="names with commas between them; all: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("gpu-check"), help="folder for gpu-check.json, gpu-check.md and logs")
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, with tiny shapes")
    parser.add_argument("--minutes", type=float, default=WHOLE / 60, help="for the whole (%(default)s)")
    parser.add_argument("--cases", type=Path, action="append", default=[], help="a further folder of reference cases")
    parser.add_argument("--python", help="a Python that has torch and transformers, or CUDA's libraries as packages")
    for program in ("train", "test-cuda", "bench-kernels"):
        parser.add_argument(f"--{program}", type=Path, help="another program than the bundle's or the build's")
    parsed = parser.parse_args(arguments)
    parsed.stages = parsed.stages.split(",")
    for name in parsed.stages:
        if name not in STAGES:
            parser.error(f"--stages: there is no stage {name}; there are {', '.join(STAGES)}")
    return parsed


def find_cases(folders):
    return [file.parent for folder in [OWN_CASES, *folders] for file in sorted(folder.resolve().glob("*/expected.json"))]


def describe(arguments, machine, context):
    return {"rehearsed": arguments.rehearse, **({"note": report.REHEARSED} if arguments.rehearse else {}),
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"), "commit": commit(),
            "command": " ".join(["scripts/gpu-check", *sys.argv[1:]]), "device": machine.gpu, "driver": machine.gpu.get("driver"),
            "versions": machine.versions, "libraries": machine.libraries, "cores": os.cpu_count(), "peer_python": context.peer_python}


def run_stage(name, context, deadline, publish):
    stage, limit = STAGES[name]
    begin = time.monotonic()
    context.deadline = min(begin + limit, deadline)
    if context.left() < 5:
        return Result(name, FAILED, summary="not run: the time for the whole was over; choose it alone with --stages")
    def finish(result):
        result.seconds = time.monotonic() - begin
        if context.rehearse:
            result.details["rehearsed"] = True
            result.summary = f"rehearsed on a CPU: {result.summary}"
        return result

    more = {"publish": lambda result: publish(finish(result))} if stage is training else {}
    try:
        return finish(stage(context, **more))
    except Exception as error:  # the other stages still run, and this one is told as failed
        return finish(Result(name, FAILED, summary=f"{type(error).__name__}: {error}"))


def without_gpu(arguments, machine):
    """What to do where there is no GPU to check."""
    if arguments.rehearse or machine.gpu or os.environ.get("GPU_CHECK_ANYWAY"):
        return None
    return "nvidia-smi finds no GPU here; run this on a machine with one, or try the script with --rehearse"


def stop(number, _frame):
    processes.end_all()
    sys.exit(128 + number)


def main(arguments=None):
    arguments = parse(arguments)
    deadline = time.monotonic() + 60 * arguments.minutes
    machine = look_at_machine(arguments.python)
    refused = without_gpu(arguments, machine)
    if refused:
        print(f"gpu-check: {refused}", file=sys.stderr)
        return 1
    arguments.output.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="gpu-check-"))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        return run_stages(arguments, machine, work, deadline)
    finally:
        processes.end_all()
        shutil.rmtree(work, ignore_errors=True)


def run_stages(arguments, machine, work, deadline):
    context = Context(machine, find_programs(arguments), arguments.rehearse, logs=arguments.output.resolve() / "logs", work=work,
                      cases=find_cases(arguments.cases), peer_python=find_peer_python(arguments.python))
    context.logs.mkdir(exist_ok=True)
    about, results = describe(arguments, machine, context), []
    if arguments.rehearse:
        print(report.REHEARSED, flush=True)
    for name in arguments.stages:
        print(f"{name} …", flush=True)
        results.append(run_stage(name, context, deadline, lambda so_far: report.write(arguments.output, about, [*results, so_far])))
        report.write(arguments.output, about, results)
        print(f"{name}: {results[-1].status.replace('_', ' ')} in {results[-1].seconds:.0f} s: {results[-1].summary}", flush=True)
    print(f"{arguments.output / 'gpu-check.md'} has the tables, {arguments.output / 'gpu-check.json'} all of it")
    return 0 if all(result.status in (PASSED, SKIPPED) for result in results) else 1
