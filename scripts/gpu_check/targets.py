"""What one H100 has to show; docs/benchmarks.md keeps what was measured."""
from .shapes import LLAMA32_1B, QWEN25_3B

LEAST_RATIO = 1.2
LEAST_C_MFU = {LLAMA32_1B.name: 0.50, QWEN25_3B.name: 0.55}
LEAST_PACKED = 0.95   # of the tokens per second of full-length documents
MEMORY_WITHIN = 0.05  # of what the plan says

MET, MISSED, NOT_MEASURED, NOT_JUDGED, LEFT_OUT = "met", "missed", "not measured", "not judged", "left out: no time"


def is_judged(name):
    """Whether that shape's speed is."""
    return name in LEAST_C_MFU


def judge(measured, context):
    """[{"claim", "required", "value", "verdict"}, …] from the results of training.py, by shape.  Speed is judged on the
    GPU that the targets are for, memory on any."""
    speed, memory = [], []
    for name, least in LEAST_C_MFU.items():
        found = measured.get(name, {})
        speed += [_at_least(f"{name}: tokens/s over PyTorch's", LEAST_RATIO, found.get("ratio")),
                  _at_least(f"{name}: C-MFU", least, found.get("c_mfu")),
                  _at_least(f"{name}: tokens/s of packed documents over full-length ones", LEAST_PACKED,
                            found.get("packed_ratio"))]
    for name, found in measured.items():
        ratio = found.get("memory_ratio")
        memory.append(_row(f"{name}: peak memory over the plan", f"1 ± {MEMORY_WITHIN}", ratio,
                           ratio is not None and abs(ratio - 1) <= MEMORY_WITHIN))
        if found["left_out"] and not is_judged(name):
            memory[-1]["verdict"] = LEFT_OUT
    for row in speed + memory if context.rehearse else [] if context.machine.is_h100 else speed:
        row["verdict"] = NOT_JUDGED
    return speed + memory


def _at_least(claim, least, value):
    return _row(claim, f"≥ {least}", value, value is not None and value >= least)


def _row(claim, required, value, holds):
    verdict = NOT_MEASURED if value is None else MET if holds else MISSED
    return {"claim": claim, "required": required, "value": value, "verdict": verdict}
