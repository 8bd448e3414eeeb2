"""parity.py TRAIN CASE: a reference case gives its curve in fp32 on 1, 2, 3 and 4 ranks, and its bf16 curve on 2."""
from harness import Case, program, require_reference, workspace

train, (folder,) = program()
case = Case(folder)
with workspace() as place:
    for ranks in (1, 2, 3, 4):
        run = train.run(place / f"fp32-{ranks}", case.settings(), ranks)
        require_reference(case, run, f"{case.name}: fp32 on {ranks} ranks gives the float64 curve")
    run = train.run(place / "bf16", {**case.settings(), "model.precision": "bf16"}, 2)
    require_reference(case, run, f"{case.name}: bf16 on 2 ranks gives the bf16 curve", "bf16")
