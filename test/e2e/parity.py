"""parity.py TRAIN CASE [RANKS …]: a reference case gives its curve in fp32 on 1, 2, 3 and 4 ranks, or those named, and its bf16
curve, where the case has one, on 2, or the first of those."""
from harness import Case, program, require_reference, workspace

train, (folder, *numbers) = program()
case = Case(folder)
fp32_ranks = [int(number) for number in numbers] or [1, 2, 3, 4]
bf16_ranks = 2 if 2 in fp32_ranks else fp32_ranks[0]
with workspace() as place:
    for ranks in fp32_ranks:
        run = train.run(place / f"fp32-{ranks}", case.settings(), ranks)
        require_reference(case, run, f"{case.name}: fp32 on {ranks} ranks gives the float64 curve")
    if "bf16" in case.expected:
        run = train.run(place / "bf16", {**case.settings(), "model.precision": "bf16"}, bf16_ranks)
        require_reference(case, run, f"{case.name}: bf16 on {bf16_ranks} ranks gives the bf16 curve", "bf16")
