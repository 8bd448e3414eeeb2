"""memory.py TRAIN: the peaks of real runs agree with the formulas of docs/sharding.md.

The formulas are written down here once more, from the page; the program prints its own.
"""
import json
import random

from harness import metrics, program, require, workspace

MIB = 1 << 20
KERNELS = 12 * MIB    # their scratch memory, within peak_device_bytes: less than one more slot for a unit would take
LIBRARIES = 32 * MIB  # resident beside the device's: rings of the communicator, MPI's segments, pages at ends of buffers

CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": 512,
          "intermediate_size": 1408, "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 4,
          "vocab_size": 8000, "rms_norm_eps": 1e-5, "max_position_embeddings": 1024, "rope_theta": 10000.0}
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "vocab_size": 128}
TOKENS = 384


def formula(config, ranks, strategy, checkpointing, precision, offload):
    """{part: bytes} of docs/sharding.md, in its letters; "host" and "snapshot" are not the device's."""
    C, F, L, H, G, V = (config[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers",
                                                "num_attention_heads", "num_key_value_heads", "vocab_size"))
    D, T, tied, b = C // H, TOKENS, config["tie_word_embeddings"], {"bf16": 2, "fp32": 4}[precision]
    S = 1 if strategy == "no_shard" else ranks

    def padded(elements):
        return -(-elements // (64 * S)) * 64 * S

    U0, Un = padded(V * C), padded(C + (0 if tied else V * C))
    U = padded(2 * C + 2 * H * D * C + 2 * G * D * C + 3 * C * F)
    P = U0 + L * U + Un
    ends = U0 + Un if tied else max(U0, Un)
    kept, norms = (H + 2 * G) * D + C + 2 * F, 2 * C
    shared = 2 * C + F + H * D + (H + 2 * G) * D
    n_kept, n_norms = {"full": (1, 1), "selective": (L, 1), "none": (L, L)}[checkpointing]
    chunk = min(max(192 * MIB // (4 * V) // 64 * 64, 64), -(-T // 64) * 64)
    more = 2 if precision == "bf16" else 0
    on_device, on_host = {"none": (16 + more, 0), "optimizer": (b, 16), "params": (0, 16 + more)}[offload]
    gathers, has_slots = S > 1 or offload == "params", S > 1 or offload != "none"
    slots = 4 * (min(2, L) * U + ends)
    return {
        "shards": on_device * P // S,
        "gathered": b * (P if strategy == "shard_grad_op" else min(3, L) * U + ends) if gathers else 0,
        "unit gradients": slots * has_slots + (slots // S if S > 1 and offload != "none" else 0),
        "activations": T * b * ((L + 1) * C + L * H * D + n_kept * kept + n_norms * norms + shared) +
                       4 * T * (2 * n_kept + L * H + D),
        "head": T * (3 * b * C + 4) + chunk * V * 4,
        "host": on_host * P // S + (4 * MIB if offload == "optimizer" and precision == "bf16" else 0),
        "snapshot": 12 * P // S,
    }


def settings(place, config, strategy, checkpointing, precision, offload):
    base = place / f"model-{config['hidden_size']}-{config['tie_word_embeddings']}"
    base.mkdir(exist_ok=True)
    (base / "config.json").write_text(json.dumps(config))
    numbers = random.Random(7)
    lines = [{"input_ids": [numbers.randrange(config["vocab_size"]) for _ in range(TOKENS)]} for _ in range(8)]
    (base / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"model.base": base, "model.init": "random", "model.precision": precision,
            "model.gradient_checkpointing": checkpointing, "data.sequence_len": TOKENS, "dataset.random.path":
            base / "train.jsonl", "dataset.random.type": "tokenized", "train.max_steps": 3, "train.micro_batch_size": 1,
            "shard.strategy": strategy, "shard.offload": offload, "checkpoint.export": "never", "log.tensorboard": "false", "device.threads": 1}


RUNS = [  # ranks, strategy, recomputation, precision, tied, offload
    (2, "full_shard", "full", "fp32", True, "none"),
    (2, "full_shard", "selective", "bf16", False, "none"),
    (2, "full_shard", "selective", "bf16", False, "optimizer"),
    (2, "full_shard", "selective", "bf16", False, "params"),
    (3, "shard_grad_op", "none", "fp32", False, "none"),
    (1, "no_shard", "full", "bf16", True, "none"),
    (1, "no_shard", "full", "bf16", True, "optimizer"),
]

train, _ = program()


def last_step(folder, job, ranks):
    return [row for row in metrics(train.run(folder, job, ranks)) if "loss" in row][-1]


def in_mib(**numbers):
    return ", ".join(f"{name.replace('_', ' ')} {bytes / MIB:.1f}" for name, bytes in numbers.items()) + " MiB"


with workspace() as place:
    curves = {}  # (loss, norm) of the last step by what shard.offload must not change
    for ranks, strategy, checkpointing, precision, tied, offload in RUNS:
        what = f"{ranks} ranks, {strategy}, {checkpointing}, {precision}, {'tied' if tied else 'untied'}, offload {offload}"
        name = f"{ranks}-{strategy}-{checkpointing}-{precision}-{offload}"
        config = {**CONFIG, "tie_word_embeddings": tied}
        job = settings(place, config, strategy, checkpointing, precision, offload)
        small_job = settings(place, {**config, **SMALL}, strategy, checkpointing, precision, offload)
        baseline = last_step(place / f"{name}-small", small_job, ranks)["peak_host_bytes"]  # program, libraries, data
        last = last_step(place / name, job, ranks)
        device, host = last["peak_device_bytes"], last["peak_host_bytes"]

        parts = formula(config, ranks, strategy, checkpointing, precision, offload)
        snapshot, offloaded = parts.pop("snapshot"), parts.pop("host")
        total = sum(parts.values())
        told = in_mib(**parts, total=total, offloaded=offloaded, peak_device=device, peak_host=host, baseline=baseline)
        require(total <= device <= total + KERNELS, f"{what}: peak_device_bytes is the formula and the kernels' scratch",
                told)
        require(0.95 * (total + offloaded) <= host - baseline <= device + offloaded + LIBRARIES,
                f"{what}: so is what became resident", told)
        print(told)
        curve = (last["loss"], last["grad_norm"])
        require(curves.setdefault((ranks, strategy, checkpointing, precision), curve) == curve,
                f"{what}: the bits of the job without offload", (curve, curves))

        if (ranks, strategy, checkpointing) == (2, "full_shard", "full"):
            # The save after step 2 runs beside step 3.
            saving = last_step(place / f"{name}-saving", {**job, "checkpoint.save_steps": 2}, ranks)["peak_host_bytes"]
            told = in_mib(total=total, snapshot=snapshot, peak_device=device, peak_host=saving, baseline=baseline)
            require(0.95 * (total + snapshot) <= saving - baseline <= device + snapshot + LIBRARIES,
                    f"{what}: a save adds its snapshot", told)
            print(told)
