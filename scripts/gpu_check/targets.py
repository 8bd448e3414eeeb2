"""What one H100 has to show; docs/benchmarks.md keeps what it did show."""
from .shapes import LLAMA32_1B, QWEN25_3B

LEAST_RATIO = 1.2
LEAST_C_MFU = {LLAMA32_1B.name: 0.50, QWEN25_3B.name: 0.55}
LEAST_PACKED = 0.95   # of the tokens per second of full-length documents
MEMORY_WITHIN = 0.05  # of what the plan says

MET, MISSED, NOT_MEASURED, NOT_JUDGED = "met", "missed", "not measured", "not judged"


def judge(measured, context):
    """[{"claim", "required", "value", "verdict"}, …] from the results of training.py, by shape."""
    rows = []
    for name, least in LEAST_C_MFU.items():
        found = measured.get(name, {})
        rows += [_row(f"{name}: tokens/s beside PyTorch", f">= {LEAST_RATIO}", found.get("ratio"), lambda v: v >= LEAST_RATIO),
                 _row(f"{name}: C-MFU", f">= {least:.0%}", found.get("c_mfu"), lambda v, least=least: v >= least),
                 _row(f"{name}: packed documents, tokens/s of full-length ones", f">= {LEAST_PACKED}", found.get("packed_ratio"),
                      lambda v: v >= LEAST_PACKED)]
    judged_here = context.machine.is_h100 and not context.rehearse
    for row in rows if not judged_here else []:
        row["verdict"] = NOT_JUDGED
    memory = [_row(f"{name}: peak memory over the plan", f"within {MEMORY_WITHIN:.0%}", found.get("memory_ratio"),
                   lambda v: abs(v - 1) <= MEMORY_WITHIN) for name, found in measured.items()]
    for row in memory if context.rehearse else []:
        row["verdict"] = NOT_JUDGED
    return rows + memory


def _row(claim, required, value, holds):
    verdict = NOT_MEASURED if value is None else MET if holds(value) else MISSED
    return {"claim": claim, "required": required, "value": value, "verdict": verdict}
