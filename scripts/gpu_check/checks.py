"""The stages that test: unit tests, reference cases, resuming, several ranks, compute-sanitizer."""
import os
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .context import FAILED, PASSED, SKIPPED, TIMED_OUT, Result, status_of, summarise
from .machine import SHARED_GPU_NCCL
from .programs import END_TO_END, script

sys.path.insert(0, str(END_TO_END))
from harness import OWN_CASES, Case, write_job  # noqa: E402

AT_ONCE = 4  # scripts that may share the GPU and the cores; nothing is timed in these stages


def unit(context):
    """All CUDA unit tests; in a rehearsal without a GPU those of the kernels on the CPU."""
    program = context.programs.test_cuda
    if not program.exists():
        if context.rehearse and context.programs.test_kernels.exists():
            program = context.programs.test_kernels
        else:
            return Result("unit", FAILED, summary=f"{program} is not there; it is built where nvcc is")
    finished = context.run("unit", [program, "--durations", "yes"])
    counted = re.findall(r"^(?:All tests passed .*|test cases:.*|assertions:.*|not tested: .*|No tests ran)$", finished.output, re.M)
    result = Result("unit", status_of(finished), summary=f"{program.name}: {'; '.join(counted) or 'no summary'}")
    if result.status not in (PASSED, SKIPPED):
        result.details["output"] = finished.output[-4000:]
    return result


def reference(context):
    """Every reference case on one rank, fp32 and bf16, and one of them through strategies, recomputation, offload."""
    train = context.programs.train
    work = {f"case {case.name}": script("parity", train, case, 1) for case in context.cases}
    return _side_by_side("reference", context, {"strategies and recomputation": script("gpu_back_end", train), **work})


def resume(context):
    return _side_by_side("resume", context,
                         {"checkpoints of CPU and GPU": script("gpu_resume", context.programs.train)})


def ranks(context):
    """NCCL with one rank; two and four ranks on one GPU, through page-locked memory and, where NCCL can, through NCCL."""
    train, case = context.programs.train, OWN_CASES / "llama"
    memory, nccl = {"NCCL_MULTI_RANK_GPU_ENABLE": "0"}, {"NCCL_MULTI_RANK_GPU_ENABLE": "1"}
    work = {"2 and 4 ranks through page-locked memory": (script("parity", train, case, 2, 4), memory),
            "strategies through page-locked memory": (script("strategies", train), memory)}
    checks = []
    if context.rehearse or context.machine.nccl_shares_a_gpu:
        work["2 and 4 ranks through NCCL"] = (script("parity", train, case, 2, 4), nccl)
        work["strategies through NCCL"] = (script("strategies", train), nccl)
    else:
        checks.append(Result("2 and 4 ranks through NCCL", SKIPPED, summary=f"NCCL {context.machine.versions.get('NCCL', 'not found')} "
                             f"gives every rank a GPU of its own; {'.'.join(map(str, SHARED_GPU_NCCL))} or newer is needed"))
    if context.programs.test_cuda.exists():
        work["NCCL with one rank"] = ([context.programs.test_cuda, "NCCL's collectives of one rank*"], {})
    else:
        checks.append(Result("NCCL with one rank", SKIPPED if context.rehearse else FAILED, summary=f"{context.programs.test_cuda} is not there"))
    return _side_by_side("ranks", context, {name: command for name, (command, _) in work.items()},
                         {name: variables for name, (_, variables) in work.items()}, checks)


def _side_by_side(stage, context, commands, variables=None, more=()):
    """Checks that disturb each other in nothing but time, a few at once."""
    if not context.programs.train.exists():
        return Result(stage, FAILED, summary=f"{context.programs.train} is not there; build it, or unpack the bundle whole")

    def check(name):
        own = context.variables(**(variables or {}).get(name, {}))
        result = context.check(f"{stage}/{name}", commands[name], variables=own)
        result.name = name
        return result

    with ThreadPoolExecutor(min(AT_ONCE, os.cpu_count() or 1)) as pool:
        return summarise(stage, [*pool.map(check, commands), *more])


# ---- compute-sanitizer ----

SANITIZERS = {  # tool -> what restricts it: these two only look at the kernels of this project
    "memcheck": [],
    "racecheck": ["--kernel-name", "kernel_substring=tessera"],
    "initcheck": ["--kernel-name", "kernel_substring=tessera"],
}
FOUND_SOMETHING = 86


def sanitizer(context):
    """compute-sanitizer over two steps of the smallest reference case."""
    tool = _find_sanitizer()
    if tool is None:
        return Result("sanitizer", SKIPPED, summary="compute-sanitizer is not there, so nothing was looked at (it comes with the CUDA toolkit)")
    return summarise("sanitizer", [_sanitized(context, tool, name, filters) for name, filters in SANITIZERS.items()])


def _find_sanitizer():
    toolkits = [Path("/usr/local/cuda"), *sorted(Path("/usr/local").glob("cuda-*"), reverse=True)]
    folders = [folder for toolkit in toolkits for folder in (toolkit / "bin", toolkit / "compute-sanitizer")]
    return shutil.which("compute-sanitizer", path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)]))


def _sanitized(context, tool, name, filters):
    job = context.work / f"{name}.ini"
    case = Case(OWN_CASES / "llama")
    write_job(job, {**case.settings(), **context.device, "train.max_steps": 2, "train.warmup_steps": 1,
                    "checkpoint.resume": "never", "job.output_dir": context.work / name})
    options = ["--tool", name, "--error-exitcode", FOUND_SOMETHING, "--print-limit", 20]

    def under(chosen):
        return context.run(f"sanitizer/{name}", [context.programs.mpirun, "-n", 1, tool, *options, *chosen, context.programs.train, job])

    finished = under(filters)
    verdict = _verdict(finished.output)
    if filters and not verdict and not finished.timed_out:  # a version that does not know the filter
        finished = under([])
        verdict = _verdict(finished.output)
    if finished.timed_out:
        status = TIMED_OUT
    else:
        status = PASSED if finished.status == 0 and verdict and re.search(r"SUMMARY: 0 ", verdict) else FAILED
    details = {} if status == PASSED else {"exit_status": finished.status, "output": finished.output[-4000:]}
    return Result(name, status, finished.seconds, verdict or "compute-sanitizer gave no summary", details)


def _verdict(output):
    """compute-sanitizer's last line: "ERROR SUMMARY: 0 errors", "RACECHECK SUMMARY: 0 hazards displayed (…)"."""
    return next(iter(re.findall(r"(?:ERROR|RACECHECK) SUMMARY: .*", output)[::-1]), "")
