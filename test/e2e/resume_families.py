"""resume_families.py TRAIN CASE/expected.json …: a checkpoint from the middle of each case goes on bit for bit on as many
ranks, and along the same curve on another number.
"""
from pathlib import Path

from harness import Case, curve, program, require, require_reference, skip, workspace

MIDDLE = 6

train, cases = program()
if not cases:
    skip("no cases are here")


def resumed(folder, settings, whole, ranks):
    return train.run(folder, {**settings, "checkpoint.resume": whole / f"checkpoints/step-{MIDDLE:06d}"}, ranks)


for case in (Case(Path(expected).parent) for expected in cases):
    with workspace() as place:
        settings = {**case.settings(), "checkpoint.save_steps": MIDDLE, "checkpoint.export": "final"}
        whole = train.run(place / "whole", settings, 2)
        same = resumed(place / "same", settings, whole, 2)
        require(curve(same) == curve(whole)[MIDDLE:], f"{case.name}: resumed, every loss and gradient norm has the same bits")
        require((same / "final/model.safetensors").read_bytes() == (whole / "final/model.safetensors").read_bytes(),
                f"{case.name}: the final weights have the same bits")
        require_reference(case, resumed(place / "other", settings, whole, 3), f"{case.name}: 2 ranks, then 3: the same curve",
                          first=MIDDLE + 1)
