"""The stage that times the kernels: bench_kernels, each kernel against what memory and matrix units allow."""
import json

from .context import FAILED, LOG_TAIL, PASSED, TIMED_OUT, Result, missing

KEYS = ("copy_bytes_per_second", "gemm_flops_per_second", "kernels")


def kernels(context):
    """bench_kernels writes its JSON anew after each kernel, so that what it measured stays where the time is too short."""
    program, file = context.programs.bench_kernels, context.logs / "kernels.json"
    if not program.exists():
        return missing("kernels", program)
    finished = context.run("kernels", [program, "--device", "cpu" if context.rehearse else "cuda", "--json", file,
                                       *(["--quick"] if context.rehearse else [])])
    measured, lacking = _read(file)
    found = {} if lacking else {"measured": measured}
    if not finished.timed_out and finished.status == 0 and not lacking:
        return Result("kernels", PASSED, summary=_summary(measured), details=found)
    what = "did not end in time" if finished.timed_out else f"ended with {finished.status}"
    had = f"without {lacking}" if lacking else f"after {_summary(measured)}"
    return Result("kernels", TIMED_OUT if finished.timed_out else FAILED, summary=f"bench_kernels {what}, {had}",
                  details={**found, "output": finished.output[-LOG_TAIL:]})


def _read(file):
    """(the JSON, what it lacks)"""
    try:
        measured = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}, file.name
    return measured, ", ".join(key for key in KEYS if key not in measured)


def _summary(measured):
    rates = [f"GEMM {dtype} {rate / 1e12:.3g} TFLOP/s" for dtype, rate in measured["gemm_flops_per_second"].items()]
    copy = f"copy {measured['copy_bytes_per_second'] / 1e9:.0f} GB/s"
    return f"{len(measured['kernels'])} kernels; {', '.join([copy, *rates])}"
