"""The stage that times the kernels, and what else bench_kernels says: what the device can do, what calls move and compute."""
import json

from . import roofline
from .context import FAILED, LOG_TAIL, PASSED, TIMED_OUT, Result, missing, plain
from .shapes import SHAPES, shrunk

CEILINGS = tuple(roofline.Ceilings.__dataclass_fields__)
KEYS = ("sizes", *CEILINGS, "kernels")
CEILINGS_SECONDS = 30  # at most, where the stage has not measured them


def kernels(context):
    """bench_kernels writes its JSON anew after each kernel, so that what it measured stays where the time is too short.
    The calls are those of the first shape that is trained."""
    shape = shrunk(SHAPES[0]) if context.rehearse else SHAPES[0]
    if not context.programs.bench_kernels.exists():
        return missing("kernels", context.programs.bench_kernels)
    finished, measured, lacking = _run(context, "kernels", KEYS, *_sizes(shape))
    if not lacking:
        context.measured = measured
    found = {} if lacking else {"measured": {**measured, "kernels": roofline.against_model(measured, shape),
                                             "shape": shape.name}}
    if not finished.timed_out and finished.status == 0 and not lacking:
        return Result("kernels", PASSED, summary=_summary(measured), details=found)
    what = "did not end in time" if finished.timed_out else f"ended with {finished.status}"
    had = f"without {lacking}" if lacking else f"after {_summary(measured)}"
    return Result("kernels", TIMED_OUT if finished.timed_out else FAILED, summary=f"bench_kernels {what}, {had}",
                  details={**found, "output": finished.output[-LOG_TAIL:]})


def ceilings(context):
    """What the device can do, as the stage above measured it in this run, or measured now; None where it cannot be told."""
    if context.measured is None and context.programs.bench_kernels.exists():
        _, measured, lacking = _run(context, "ceilings", CEILINGS, "--ceilings", seconds=CEILINGS_SECONDS)
        return None if lacking else roofline.Ceilings.of(measured)
    return context.measured and roofline.Ceilings.of(context.measured)


def counted(context, shape):
    """What the calls of a shape move and compute; None where it cannot be told."""
    _, report, lacking = _run(context, f"counts of {shape.name}", ("sizes", "kernels"), "--count", *_sizes(shape))
    return None if lacking else report


def _run(context, name, keys, *options, seconds=None):
    """(how it ended, the JSON, what that lacks of `keys`)"""
    program, file = context.programs.bench_kernels, context.logs / plain(f"{name}.json")
    finished = context.run(name, [program, "--device", "cpu" if context.rehearse else "cuda", *options, "--json", file,
                                  *(["--quick"] if context.rehearse else [])], seconds)
    return finished, *_read(file, keys)


def _sizes(shape):
    return [word for letter, size in roofline.sizes_of(shape).items()
            for word in (f"-{letter}" if len(letter) == 1 else f"--{letter}", size)]


def _read(file, keys):
    try:
        measured = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}, file.name
    return measured, ", ".join(key for key in keys if key not in measured)


def _summary(measured):
    rates = [f"GEMM {dtype} {rate / 1e12:.3g} TFLOP/s" for dtype, rate in measured["gemm_flops_per_second"].items()]
    copy = f"copy {measured['copy_bytes_per_second'] / 1e9:.0f} GB/s"
    launch = f"a launch {measured['launch_seconds'] * 1e6:.1f} µs"
    return f"{len(measured['kernels'])} kernels; {', '.join([copy, *rates, launch])}"
