"""The stages that test whole jobs: reference cases, resuming, several ranks, compute-sanitizer."""
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from reference_cases import OWN_CASES, Case, write_job

from .context import FAILED, PASSED, SKIPPED, TIMED_OUT, Result, missing, plain, summarise
from .documents import Documents, write_random_job
from .machine import SHARED_GPU_NCCL, toolkits
from .programs import script
from .shapes import LLAMA32_1B, shrunk

AT_ONCE = 6  # programs that may share GPU and cores; nothing is timed in these stages


def reference(context):
    """Every reference case on one rank, in fp32 and, where the case has such a curve, bf16."""
    return _scripts("reference", context, {case.name: (script("parity", context.programs.train, case, 1), {})
                                           for case in context.cases})


def resume(context):
    """CPU and GPU go on from each other's checkpoints."""
    return _scripts("resume", context, {"CPU and GPU": (script("gpu_resume", context.programs.train), {})})


# How ranks of one GPU exchange data.  Without MPS the GPU runs them by turns, so NCCL's collectives, which wait for each
# other, get one block a rank.
WAYS = {"page-locked memory": {"NCCL_MULTI_RANK_GPU_ENABLE": "0"},
        "NCCL": {"NCCL_MULTI_RANK_GPU_ENABLE": "1", "NCCL_MAX_CTAS": "1"}}


def ranks(context):
    """NCCL with one rank; two and four ranks on one GPU, through page-locked memory and, where it can, through NCCL."""
    train, case = context.programs.train, OWN_CASES / "llama"
    work, others = {}, []
    for way, variables in WAYS.items():
        if way == "NCCL" and not (context.rehearse or context.machine.nccl_shares_a_gpu):
            others.append(Result(f"through {way}", SKIPPED, summary=_why_nccl_does_not_share(context.machine)))
            continue
        work[f"2 and 4 ranks through {way}"] = script("parity", train, case, 2, 4), variables
        work[f"strategies through {way}"] = script("strategies", train), variables
    if context.programs.test_cuda.exists():
        work["NCCL with one rank"] = [context.programs.test_cuda, "NCCL's collectives of one rank*"], {}
    else:
        others.append(Result("NCCL with one rank", SKIPPED if context.rehearse else FAILED,
                             summary=f"{context.programs.test_cuda} is not there"))
    return _scripts("ranks", context, work, others)


def _why_nccl_does_not_share(machine):
    oldest = ".".join(map(str, SHARED_GPU_NCCL))
    return f"NCCL {machine.versions.get('NCCL', 'was not found')}; several ranks of one GPU need {oldest} or newer"


def _scripts(stage, context, work, others=()):
    """work: {what it checks: (command, variables of its environment)}; they disturb each other in nothing but time."""
    if not context.programs.train.exists():
        return missing(stage, context.programs.train)

    def check(name):
        command, variables = work[name]
        return context.check(stage, name, command, context.variables(**variables))

    return summarise(stage, [*_at_once(check, work), *others])


def _at_once(check, names):
    with ThreadPoolExecutor(min(AT_ONCE, os.cpu_count() or 1)) as pool:
        return list(pool.map(check, names))


# ---- compute-sanitizer ----

def _fp32_job(context, name):
    job = context.work / f"{name}.ini"
    write_job(job, {**Case(OWN_CASES / "llama").settings(), **context.device, "train.max_steps": 2,
                    "train.warmup_steps": 1, "checkpoint.resume": "never", "job.output_dir": context.work / name})
    return job


def _packed_job(context, name):
    """bf16 and heads of 64, so that attention goes through cuDNN, with several documents a call."""
    shape = shrunk(LLAMA32_1B)
    lengths = Documents(shape.of("vocab_size"), shape.sequence_len).packed(2 * shape.sequences)
    return write_random_job(context.work / name, shape, lengths, {**context.device, "train.max_steps": 2})


OWN_KERNELS = ["--kernel-name", "kernel_substring=tessera"]
# check -> (tool, job, kernels).  Without initcheck: device memory is zeroed when it is reserved, so it could find nothing.
SANITIZERS = {"memcheck": ("memcheck", _fp32_job, []),
              "memcheck of packed documents": ("memcheck", _packed_job, []),
              "racecheck": ("racecheck", _fp32_job, OWN_KERNELS)}
# Errors of API calls are left out: the program checks its own, and libraries try what a driver may not have.
OPTIONS = ["--error-exitcode", 86, "--print-limit", 20, "--report-api-errors", "no"]


def sanitizer(context):
    """compute-sanitizer over two steps each of the smallest reference case, in fp32, and of a bf16 job."""
    folders = [os.environ.get("PATH", ""), *(str(toolkit / "bin") for toolkit in toolkits())]
    program = shutil.which("compute-sanitizer", path=os.pathsep.join(folders))
    if program is None:
        return Result("sanitizer", SKIPPED, summary="compute-sanitizer is not there (it comes with the CUDA toolkit), "
                                                    "so nothing was looked at")
    return summarise("sanitizer", _at_once(lambda name: _sanitized(context, program, name), SANITIZERS))


def _sanitized(context, program, name):
    tool, write, kernels = SANITIZERS[name]
    job = write(context, plain(name))

    def under(chosen):
        finished = context.run(f"sanitizer/{name}", [context.programs.mpirun, "-n", 1, program, "--tool", tool, *OPTIONS,
                                                     *chosen, context.programs.train, job])
        return finished, _last_summary(finished.output)

    finished, verdict = under(kernels)
    if kernels and not verdict and not finished.timed_out:  # a version that does not know the filter
        finished, verdict = under([])
    clean = finished.status == 0 and re.search("SUMMARY: 0 ", verdict)
    status = TIMED_OUT if finished.timed_out else PASSED if clean else FAILED
    details = {} if clean else {"exit_status": finished.status, "output": finished.output[-4000:]}
    return Result(name, status, finished.seconds, verdict or "compute-sanitizer gave no summary", details)


def _last_summary(output):
    """ "ERROR SUMMARY: 0 errors", "RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)" """
    found = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: .*", output)
    return found[-1] if found else ""
