"""The stage that times the kernels: bench_kernels, each kernel against what memory and matrix units allow."""
import json

from .context import FAILED, LOG_TAIL, PASSED, TIMED_OUT, Result, missing

KEYS = ("copy_bytes_per_second", "gemm_flops_per_second", "kernels")
SHARE = 0.6  # of the stage's time for a thorough run; where that is too little, a quick one has the rest


def kernels(context):
    program, file = context.programs.bench_kernels, context.logs / "kernels.json"
    if not program.exists():
        return missing("kernels", program)
    file.unlink(missing_ok=True)  # of an earlier run
    command = [program, "--device", "cpu" if context.rehearse else "cuda", "--json", file]
    runs = [[*command, "--quick"]] if context.rehearse else [command, [*command, "--quick"]]
    for number, run in enumerate(runs, start=1):
        finished = context.run("kernels", run, context.left() * (SHARE if number < len(runs) else 1))
        if not finished.timed_out:
            break
    measured, lacking = _read(file)
    if finished.timed_out or finished.status != 0 or lacking:
        what = "did not end in time" if finished.timed_out else f"ended with {finished.status}, without {lacking or 'nothing'}"
        return Result("kernels", TIMED_OUT if finished.timed_out else FAILED, summary=f"bench_kernels {what}",
                      details={"output": finished.output[-LOG_TAIL:]})
    return Result("kernels", PASSED, summary=_summary(measured), details={"measured": measured})


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
