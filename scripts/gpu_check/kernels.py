"""The stage that times the kernels: bench_kernels, each kernel against what the GPU's memory and matrix units allow."""
import json

from .context import FAILED, TIMED_OUT, PASSED, Result

KEYS = ("copy_bytes_per_second", "gemm_flops_per_second", "kernels")


def kernels(context):
    program, file = context.programs.bench_kernels, context.logs / "kernels.json"
    if not program.exists():
        return Result("kernels", FAILED, summary=f"{program} is not there; build the target bench_kernels")
    device = "cpu" if context.rehearse else "cuda"
    finished = context.run("kernels", [program, "--device", device, "--json", file, *(["--quick"] if context.rehearse else [])])
    if finished.timed_out:
        return Result("kernels", TIMED_OUT, summary="bench_kernels did not end in time", details={"output": finished.output[-1500:]})
    try:
        measured = json.loads(file.read_text())
        missing = [key for key in KEYS if key not in measured]
    except (OSError, ValueError) as error:
        missing = [str(error)]
    if finished.status != 0 or missing:
        return Result("kernels", FAILED, summary=f"bench_kernels ended with {finished.status}; missing in its JSON: {', '.join(missing) or 'nothing'}",
                      details={"output": finished.output[-1500:]})
    rates = measured["gemm_flops_per_second"]
    summary = (f"{len(measured['kernels'])} kernels; copy {measured['copy_bytes_per_second'] / 1e9:.0f} GB/s, "
               + ", ".join(f"GEMM {dtype} {rate / 1e12:.1f} TFLOP/s" for dtype, rate in rates.items()))
    return Result("kernels", PASSED, summary=summary, details={"measured": measured})
