"""gpu_resume.py TRAIN: CPU and GPU ranks resume each other's checkpoints.  TRAIN as in gpu_back_end.py."""
from harness import ON_CPU, OWN_CASES, Case, curve, near, on_gpu, program, require, workspace

train, _ = program()
RANKS = {"CPU": ON_CPU, "GPU": on_gpu(), "offloaded GPU": {**on_gpu(), "shard.offload": "optimizer"}}
STEPS = 4

with workspace() as place:
    case = Case(OWN_CASES / "mistral")
    job = {**case.settings(), "train.max_steps": STEPS, "train.warmup_steps": 1}
    expected = curve(train.run(place / "uninterrupted", {**job, **ON_CPU}, 2))
    for first, second in (("CPU", "GPU"), ("GPU", "CPU"), ("offloaded GPU", "GPU")):
        half = {**job, "checkpoint.save_steps": STEPS // 2}
        run = train.run(place / f"{first}-{second}", {**half, **RANKS[first], "train.max_steps": STEPS // 2}, 2)
        train.run(run, {**half, **RANKS[second]}, 2)
        require(near(curve(run), expected, 1e-5), f"a {second} rank resumes a checkpoint of a {first} rank",
                (curve(run), expected))
