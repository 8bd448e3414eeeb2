"""strategies.py TRAIN: every strategy, recomputation, schedule of gathers and place of the state gives the curves of reference
cases with each kind of layer."""
from harness import OWN_CASES, Case, program, require_reference, workspace

RUNS = [  # ranks, what differs from the defaults
    (2, {"shard.strategy": "shard_grad_op"}),
    (3, {"shard.strategy": "no_shard"}),
    (4, {"shard.strategy": "hybrid_shard", "shard.group_size": 2}),
    (2, {"model.gradient_checkpointing": "none"}),
    (2, {"model.gradient_checkpointing": "selective"}),
    (2, {"shard.backward_prefetch": "none", "shard.forward_prefetch": "false"}),
    (2, {"shard.backward_prefetch": "backward_post", "shard.limit_all_gathers": "false"}),
    (2, {"train.micro_batch_size": 3}),
    (1, {"shard.offload": "optimizer"}),
    (3, {"shard.offload": "params", "shard.strategy": "shard_grad_op"}),
    (4, {"shard.offload": "optimizer", "shard.strategy": "hybrid_shard", "shard.group_size": 2}),
]

CASES = ["qwen2",    # tied embedding and biases
         "gemma2",   # norms before and behind
         "olmo3",    # norms behind alone, and of q and k
         "granite"]  # scaled residuals

train, _ = program()
with workspace() as place:
    for name in CASES:
        case = Case(OWN_CASES / name)
        for number, (ranks, changes) in enumerate(RUNS):
            run = train.run(place / f"{name}-{number}", {**case.settings(), **changes}, ranks)
            words = ", ".join(f"{key.split('.')[1]} = {value}" for key, value in changes.items())
            require_reference(case, run, f"{name}: {words} on {ranks} ranks gives the curve")
