"""gpu_back_end.py TRAIN: device.type = cuda gives the reference curves, whatever the strategy, recomputation and offload.

TRAIN is a program whose GPU part can compute here: train_on_shim, where CUDA's kernels run on the CPU, or on a machine with a
GPU `train` itself.
"""
from harness import ON_CPU, OWN_CASES, Case, curve, near, on_gpu, program, require, require_reference, steps, workspace

train, _ = program()
GPU = on_gpu()
FEW = 4  # steps, where a claim needs no whole curve

with workspace() as place:
    for name in ("llama", "qwen3", "lora-dropout", "dora-dropout", "qlora-bias"):
        case = Case(OWN_CASES / name)
        for ranks in (1, 2):
            run = train.run(place / f"{name}-{ranks}", {**case.settings(), **GPU}, ranks)
            require_reference(case, run, f"{name}: the reference curve on {ranks} ranks with a GPU")

    case = Case(OWN_CASES / "mistral")
    few = {**case.settings(), "train.max_steps": FEW, "train.warmup_steps": 1}
    on_cpu = train.run(place / "cpu", {**few, **ON_CPU}, 2)
    for key, values in {"shard.strategy": ("shard_grad_op", "no_shard"),
                        "model.gradient_checkpointing": ("none", "selective"),
                        "shard.offload": ("optimizer", "params")}.items():
        for value in values:
            run = train.run(place / f"{value}", {**few, **GPU, key: value}, 2)
            require(near(curve(run), curve(on_cpu), 1e-5), f"{key} = {value} gives the CPU's curve",
                    (curve(run), curve(on_cpu)))
    bf16 = {"model.precision": "bf16"}
    cpu, gpu = (train.run(place / f"bf16-{kind}", {**few, **bf16, **settings}, 2)
                for kind, settings in (("cpu", ON_CPU), ("gpu", GPU)))
    require(near(curve(gpu), curve(cpu), 4e-3), "bf16 stays near the CPU's curve", (curve(gpu), curve(cpu)))

    again = [curve(train.run(place / f"again-{i}", {**few, **GPU}, 2)) for i in range(2)]
    require(again[0] == again[1], "the same job gives the same bits again")
    require(all(row["peak_device_bytes"] > 0 for row in steps(place / "again-0")), "the device's memory is counted")
