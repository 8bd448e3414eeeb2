"""packing.py TRAIN: the same samples give the same curve packed into one sequence and each in a sequence of its own."""
from harness import OWN_CASES, Case, program, require, steps, workspace

train, _ = program()
with workspace() as place:
    for name in ("llama", "mistral"):  # full attention and a sliding window
        case = Case(OWN_CASES / name)
        few = {**case.settings(), "dataset.reference.limit": 3, "data.sequence_len": 128, "train.max_steps": 5,
               "train.warmup_steps": 1, "train.micro_batch_size": 1}
        alone = steps(train.run(place / f"{name}-alone", {**few, "train.global_batch_size": 3}, 2))
        packed = steps(train.run(place / f"{name}-packed", {**few, "train.global_batch_size": 1,
                                                            "data.sample_packing": "true"}, 2))
        require([row["samples"] for row in packed] == [3] * 5, f"{name}: three samples share a sequence", packed)
        for key, rtol in (("loss", 1e-5), ("grad_norm", 1e-4)):
            require(all(abs(a[key] - p[key]) <= rtol * a[key] for a, p in zip(alone, packed)),
                    f"{name}: {key} is the same packed and not", [(a[key], p[key]) for a, p in zip(alone, packed)])
