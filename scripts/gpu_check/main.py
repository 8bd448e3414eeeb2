"""gpu-check: tests and measures Tessera on the GPU of this machine, from an unpacked bundle or a build tree.

    scripts/gpu-check                              every stage, in at most 9 minutes; results in ./gpu-check-results
    scripts/gpu-check --stages unit,training       these alone; a stage has the time that others do not take
    scripts/gpu-check --rehearse                   on a CPU with tiny shapes: tries the script, measures nothing

Nine minutes are few for all of it: training then has time for little more than the shapes that targets are for.  A machine
that is lent for two commands shows more with
    scripts/gpu-check --call first                 7 minutes: tests, kernels, and the step of one model, beside what the
                                                   speeds measured would allow (gpu_check/roofline.py)
    scripts/gpu-check --call second                5 minutes: training beside PyTorch
A call's stages run in the order of their worth, each with a time limit; its minutes end it, and it lists what was left out.

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

from reference_cases import OWN_CASES

from . import processes, report
from .calls import CALLS, LAST_WORDS
from .checks import ranks, reference, resume, sanitizer
from .context import FAILED, PASSED, SKIPPED, Context, Result
from .kernel_times import kernels
from .machine import find_peer_python, look_at_machine
from .programs import commit, find_programs
from .training import step, training
from .unit_tests import unit

# name -> what runs.  Each is given a Context; those of WRITE_AS_THEY_GO also publish(result), for what they have so far.
STAGES = {"unit": unit, "reference": reference, "resume": resume, "ranks": ranks, "sanitizer": sanitizer, "kernels": kernels,
          "step": step, "training": training}
WRITE_AS_THEY_GO = (step, training)


def parse(arguments):
    parser = argparse.ArgumentParser(prog="gpu-check", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("--call", choices=CALLS, default="all", help="which stages, for how long")
    option("--stages", help=f"names with commas between them, of {', '.join(STAGES)}, in place of the call's")
    option("--output", type=Path, default=Path("gpu-check-results"), help="folder of gpu-check.json, .md and logs.tar.gz")
    option("--rehearse", action="store_true", help="on a CPU, with tiny shapes")
    option("--minutes", type=float, help="for the stages together, in place of the call's; "
                                         f"{LAST_WORDS} seconds later the program ends, whatever it does")
    option("--limit", action="append", default=[], metavar="STAGE=SECONDS", help="another time limit of a stage")
    option("--cases", type=Path, action="append", default=[], help="a further folder of reference cases")
    option("--python", help="a Python that has torch and transformers, or CUDA's libraries as packages")
    for program in ("train", "test-cuda", "bench-kernels"):
        option(f"--{program}", type=Path, help="another program than the bundle's or the build's")
    parsed = parser.parse_args(arguments)
    call = CALLS[parsed.call]
    parsed.stages = parsed.stages.split(",") if parsed.stages else list(call.limits)
    parsed.own_limits = dict(limit.partition("=")[::2] for limit in parsed.limit)
    for name in [*parsed.stages, *parsed.own_limits]:
        if name not in STAGES:
            parser.error(f"there is no stage {name}; there are {', '.join(STAGES)}")
    limits = {**CALLS["first"].limits, **CALLS["all"].limits, **call.limits, **parsed.own_limits}
    parsed.limits = {name: float(limit) for name, limit in limits.items()}
    parsed.seconds = call.seconds if parsed.minutes is None else 60 * parsed.minutes
    return parsed


def find_cases(folders):
    files = [sorted(folder.resolve().glob("*/expected.json")) for folder in [OWN_CASES, *folders]]
    return [file.parent for of_folder in files for file in of_folder]


def describe(arguments, machine, context):
    return {"rehearsed": arguments.rehearse, **({"note": report.REHEARSED} if arguments.rehearse else {}),
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"), "commit": commit(),
            "command": " ".join(["scripts/gpu-check", *sys.argv[1:]]), "device": machine.gpu,
            "driver": machine.gpu.get("driver"), "versions": machine.versions, "libraries": machine.libraries,
            "cores": os.cpu_count(), "peer_python": context.peer_python,
            "stages_asked_for": arguments.stages, "stages_there_are": list(STAGES)}


def run_stage(name, context, limit, deadline, publish):
    """publish(result): what the stage has so far, where it has something.  limit: None where it has all that is left."""
    stage, begin = STAGES[name], time.monotonic()
    context.deadline = deadline if limit is None else min(begin + limit, deadline)
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
        return finish(Result(name, FAILED, summary=report.NO_TIME))
    try:
        return finish(stage(context, keep) if stage in WRITE_AS_THEY_GO else stage(context))
    except Exception as error:  # the other stages still run, and this one is told as failed, with what it had
        summary = "; ".join(filter(None, [f"{type(error).__name__}: {error}", so_far.summary]))
        return finish(replace(so_far, status=FAILED, summary=summary))


def run_stages(arguments, machine, work, deadline):
    context = Context(machine, find_programs(arguments), arguments.rehearse, logs=work / "logs", work=work,
                      cases=find_cases(arguments.cases), peer_python=find_peer_python(arguments.python))
    about, results = describe(arguments, machine, context), []
    for name in arguments.stages:
        print(f"{name} …", flush=True)
        last = name == arguments.stages[-1] and name not in arguments.own_limits
        result = run_stage(name, context, None if last else arguments.limits[name], deadline,
                           lambda so_far: report.write(arguments.output, about, [*results, so_far]))
        results.append(result)
        report.write(arguments.output, about, results)
        report.pack_logs(arguments.output, context.logs)
        print(f"{name}: {result.status.replace('_', ' ')} in {result.seconds:.0f} s: {result.summary}", flush=True)
    print(report.left_out_in_words(about, results))
    return results


def stop(number, _frame):
    late = number == signal.SIGALRM
    if late:
        print("gpu-check: the time is over; what the stages left that are done is kept", file=sys.stderr, flush=True)
    processes.end_all(patience=2 if late else 20)
    sys.exit(1 if late else 128 + number)


def main(arguments=None):
    arguments = parse(arguments)
    deadline = time.monotonic() + arguments.seconds
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, stop)
    signal.setitimer(signal.ITIMER_REAL, max(1.0, arguments.seconds) + LAST_WORDS / 2)
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
    try:
        results = run_stages(arguments, machine, work, deadline)
    finally:
        processes.end_all()
        report.pack_logs(arguments.output, work / "logs")
        shutil.rmtree(work, ignore_errors=True)
    print(f"{arguments.output / 'gpu-check.md'} has the tables, {arguments.output / 'gpu-check.json'} all of it")
    return 0 if all(result.status in (PASSED, SKIPPED) for result in results) else 1
