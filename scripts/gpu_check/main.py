"""gpu-check: tests and measures Tessera on the GPU of this machine, from an unpacked bundle or a build tree.

    scripts/gpu-check                              every stage, in at most 9 minutes; results in ./gpu-check-results
    scripts/gpu-check --stages unit,training       these alone; a stage has the time that others do not take
    scripts/gpu-check --rehearse                   on a CPU with tiny shapes: tries the script, measures nothing

Nine minutes are few for all of it: training then has time for little more than the shapes that targets are for.  A machine
that is lent for two commands shows more with
    scripts/gpu-check --stages unit,reference,resume,ranks,sanitizer,kernels --minutes 4 \\
                      --limit ranks=110 --limit sanitizer=90
    scripts/gpu-check --stages training --minutes 7

Needs an NVIDIA GPU with its driver, Python 3.10, and CUDA's libraries in /usr/local/cuda or as Python packages
(nvidia-cublas, nvidia-cudnn-cu13, nvidia-nccl-cu13, nvidia-cuda-nvrtc); no compiler.  Training is compared with PyTorch
where a Python has torch and transformers; its torch.compile does need a C compiler.  Exit status 0: every stage passed, or
was skipped with a reason; 1: not so.
"""
import argparse
import datetime
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from . import processes, report
from .checks import ranks, reference, resume, sanitizer, unit
from .context import FAILED, PASSED, SKIPPED, Context, Result
from .kernel_times import kernels
from .machine import find_peer_python, look_at_machine
from .programs import OWN_CASES, commit, find_programs
from .training import training

WHOLE = 525  # seconds; what remains of nine minutes is for looking at the machine and ending the last program

STAGES = {  # name -> (what runs, seconds at most); the last one takes what the others leave
    "unit": (unit, 90),
    "reference": (reference, 60),
    "resume": (resume, 45),
    "ranks": (ranks, 75),
    "sanitizer": (sanitizer, 60),
    "kernels": (kernels, 40),
    "training": (training, WHOLE),
}


def parse(arguments):
    parser = argparse.ArgumentParser(prog="gpu-check", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("--stages", default=",".join(STAGES), help="names with commas between them; all: %(default)s")
    option("--output", type=Path, default=Path("gpu-check-results"), help="folder of gpu-check.json, .md and logs.tar.gz")
    option("--rehearse", action="store_true", help="on a CPU, with tiny shapes")
    option("--minutes", type=float, default=WHOLE / 60, help="for the whole (%(default)s)")
    option("--limit", action="append", default=[], metavar="STAGE=SECONDS", help="another time limit of a stage")
    option("--cases", type=Path, action="append", default=[], help="a further folder of reference cases")
    option("--python", help="a Python that has torch and transformers, or CUDA's libraries as packages")
    for program in ("train", "test-cuda", "bench-kernels"):
        option(f"--{program}", type=Path, help="another program than the bundle's or the build's")
    parsed = parser.parse_args(arguments)
    parsed.stages = parsed.stages.split(",")
    own_limits = dict(limit.partition("=")[::2] for limit in parsed.limit)
    for name in [*parsed.stages, *own_limits]:
        if name not in STAGES:
            parser.error(f"there is no stage {name}; there are {', '.join(STAGES)}")
    parsed.limits = {name: float(own_limits.get(name) or limit) for name, (_, limit) in STAGES.items()}
    return parsed


def find_cases(folders):
    files = [sorted(folder.resolve().glob("*/expected.json")) for folder in [OWN_CASES, *folders]]
    return [file.parent for of_folder in files for file in of_folder]


def describe(arguments, machine, context):
    return {"rehearsed": arguments.rehearse, **({"note": report.REHEARSED} if arguments.rehearse else {}),
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"), "commit": commit(),
            "command": " ".join(["scripts/gpu-check", *sys.argv[1:]]), "device": machine.gpu,
            "driver": machine.gpu.get("driver"), "versions": machine.versions, "libraries": machine.libraries,
            "cores": os.cpu_count(), "peer_python": context.peer_python}


def run_stage(name, context, limit, deadline, publish):
    """publish(result): what the stage has so far, where it has something."""
    stage, _ = STAGES[name]
    begin = time.monotonic()
    context.deadline = min(begin + limit, deadline)
    so_far = Result(name, FAILED)

    def finish(result):
        result = replace(result, seconds=time.monotonic() - begin)
        if not context.rehearse:
            return result
        return replace(result, summary=f"rehearsed on a CPU: {result.summary}",
                       details={**result.details, "rehearsed": True})

    def keep(result):
        nonlocal so_far
        so_far = result
        publish(finish(result))

    if begin >= deadline:
        return finish(Result(name, FAILED, summary="not run, the time for the whole was over; try --stages with it alone"))
    try:
        return finish(stage(context, keep) if stage is training else stage(context))
    except Exception as error:  # the other stages still run, and this one is told as failed, with what it had
        summary = "; ".join(filter(None, [f"{type(error).__name__}: {error}", so_far.summary]))
        return finish(replace(so_far, status=FAILED, summary=summary))


def run_stages(arguments, machine, work, deadline):
    context = Context(machine, find_programs(arguments), arguments.rehearse, logs=work / "logs", work=work,
                      cases=find_cases(arguments.cases), peer_python=find_peer_python(arguments.python))
    about, results = describe(arguments, machine, context), []
    for name in arguments.stages:
        print(f"{name} …", flush=True)
        result = run_stage(name, context, arguments.limits[name], deadline,
                           lambda so_far: report.write(arguments.output, about, [*results, so_far]))
        results.append(result)
        report.write(arguments.output, about, results)
        report.pack_logs(arguments.output, context.logs)
        print(f"{name}: {result.status.replace('_', ' ')} in {result.seconds:.0f} s: {result.summary}", flush=True)
    return results


def stop(number, _frame):
    processes.end_all()
    sys.exit(128 + number)


def main(arguments=None):
    arguments = parse(arguments)
    deadline = time.monotonic() + 60 * arguments.minutes
    machine = look_at_machine(arguments.python)
    if not machine.gpu and not arguments.rehearse:
        print("gpu-check: nvidia-smi shows no GPU here; run this on a machine with one, or try the script with --rehearse",
              file=sys.stderr)
        return 1
    if arguments.rehearse:
        print(report.REHEARSED, flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="gpu-check-"))
    (work / "logs").mkdir()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        results = run_stages(arguments, machine, work, deadline)
    finally:
        processes.end_all()
        report.pack_logs(arguments.output, work / "logs")
        shutil.rmtree(work, ignore_errors=True)
    print(f"{arguments.output / 'gpu-check.md'} has the tables, {arguments.output / 'gpu-check.json'} all of it")
    return 0 if all(result.status in (PASSED, SKIPPED) for result in results) else 1
