"""memory.py TRAIN: what `train plan` says without starting ranks is what real runs take, for every strategy and place of
the state, on 1 to 4 ranks.
"""
import json
import random
import re

from harness import metrics, program, require, workspace

MIB = 1 << 20
TOLERANCE = 0.03      # of the plan: the scratch memory of the CPU's kernels is not in it
LIBRARIES = 32 * MIB  # resident beside the device's: rings of the communicator, MPI's segments, pages at ends of buffers

CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": 512,
          "intermediate_size": 1408, "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 4,
          "vocab_size": 8000, "rms_norm_eps": 1e-5, "max_position_embeddings": 1024, "rope_theta": 10000.0}
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "vocab_size": 128}
TOKENS = 384


def planned(job, ranks):
    """Bytes per rank of the device and of host memory beside it, and all weights."""
    output = train.alone("plan", job, f"plan.ranks={ranks}", "plan.flops=1e9")
    device, host = (re.search(pattern, output) for pattern in (r"memory per rank: (\d+) MB", r"and (\d+) MB of host memory"))
    weights = re.search(r"(\d+) weights on", output)
    require(device and weights, "the plan speaks of memory and weights", output)
    return int(device[1]) * 1e6, int(host[1]) * 1e6 if host else 0, int(weights[1])


def settings(place, config, strategy, checkpointing, precision, offload, optimizer):
    base = place / f"model-{config['hidden_size']}-{config['tie_word_embeddings']}"
    base.mkdir(exist_ok=True)
    (base / "config.json").write_text(json.dumps(config))
    numbers = random.Random(7)
    lines = [{"input_ids": [numbers.randrange(config["vocab_size"]) for _ in range(TOKENS)]} for _ in range(8)]
    (base / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"model.base": base, "model.init": "random", "model.precision": precision,
            "model.gradient_checkpointing": checkpointing, "data.sequence_len": TOKENS, "dataset.random.path":
            base / "train.jsonl", "dataset.random.type": "tokenized", "train.max_steps": 3, "train.micro_batch_size": 1,
            "train.optimizer": optimizer, "shard.strategy": strategy,
            "shard.group_size": 2 if strategy == "hybrid_shard" else None, "shard.offload": offload,
            "checkpoint.export": "never", "log.tensorboard": "false", "device.threads": 1}


RUNS = [  # ranks, strategy, recomputation, precision, tied, offload, optimizer
    (2, "full_shard", "full", "fp32", True, "none", "adamw"),
    (2, "full_shard", "selective", "bf16", False, "none", "adamw"),
    (2, "full_shard", "selective", "bf16", False, "optimizer", "adamw"),
    (2, "full_shard", "selective", "bf16", False, "params", "adamw"),
    (3, "shard_grad_op", "none", "fp32", False, "none", "adamw"),
    (4, "hybrid_shard", "full", "bf16", True, "none", "adamw"),
    (1, "no_shard", "full", "bf16", True, "none", "adamw"),
    (1, "no_shard", "full", "bf16", True, "optimizer", "adamw"),
    (2, "full_shard", "selective", "bf16", False, "none", "adamw_8bit"),
    (2, "full_shard", "selective", "bf16", False, "optimizer", "adamw_8bit"),
]

train, _ = program()


def last_step(folder, job, ranks):
    return [row for row in metrics(train.run(folder, job, ranks)) if "loss" in row][-1]


def in_mib(**numbers):
    return ", ".join(f"{name.replace('_', ' ')} {bytes / MIB:.1f}" for name, bytes in numbers.items()) + " MiB"


with workspace() as place:
    curves = {}  # (loss, norm) of the last step by what shard.offload must not change
    for ranks, strategy, checkpointing, precision, tied, offload, optimizer in RUNS:
        what = f"{ranks} ranks, {strategy}, {checkpointing}, {precision}, {'tied' if tied else 'untied'}, offload {offload}, {optimizer}"
        name = f"{ranks}-{strategy}-{checkpointing}-{precision}-{offload}-{optimizer}"
        config = {**CONFIG, "tie_word_embeddings": tied}
        job = settings(place, config, strategy, checkpointing, precision, offload, optimizer)
        small_job = settings(place, {**config, **SMALL}, strategy, checkpointing, precision, offload, optimizer)
        baseline = last_step(place / f"{name}-small", small_job, ranks)["peak_host_bytes"]  # program, libraries, data
        last = last_step(place / name, job, ranks)
        device, host = last["peak_device_bytes"], last["peak_host_bytes"]

        total, offloaded, weights = planned(place / name / "job.ini", ranks)
        told = in_mib(plan=total, offloaded=offloaded, peak_device=device, peak_host=host, baseline=baseline)
        require(abs(device - total) <= TOLERANCE * total, f"{what}: peak_device_bytes is within 3 % of the plan", told)
        require(0.95 * (total + offloaded) <= host - baseline <= device + offloaded + LIBRARIES,
                f"{what}: so is what became resident", told)
        print(told)
        curve = (last["loss"], last["grad_norm"])
        require(curves.setdefault((ranks, strategy, checkpointing, precision, optimizer), curve) == curve,
                f"{what}: the bits of the job without offload", (curve, curves))

        if (ranks, strategy, checkpointing) == (2, "full_shard", "full"):
            # The save after step 2 runs beside step 3.
            saving = last_step(place / f"{name}-saving", {**job, "checkpoint.save_steps": 2}, ranks)["peak_host_bytes"]
            snapshot = 12 * weights // ranks
            told = in_mib(plan=total, snapshot=snapshot, peak_device=device, peak_host=saving, baseline=baseline)
            require(0.95 * (total + snapshot) <= saving - baseline <= device + snapshot + LIBRARIES,
                    f"{what}: a save adds its snapshot", told)
            print(told)
