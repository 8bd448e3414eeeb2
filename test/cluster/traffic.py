"""traffic.py TRAIN: what a rank sends to other hosts in a step, by the counters of its interface, is what `plan` says.

Two runs that differ by some steps give the bytes of a step: what starting and ending take is in both.
"""
import json
import random
import re
import subprocess

from harness import program, require, workspace
from hosts import Hosts, ProgramOnHosts, own_namespaces

FEW, MANY = 2, 6  # steps
NAMES = ["alpha", "beta", "gamma"]
MODEL = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4,
         "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512, "rms_norm_eps": 1e-5, "hidden_act": "silu",
         "max_position_embeddings": 64, "rope_theta": 10000.0, "tie_word_embeddings": False}
LORA = {"adapter.type": "lora", "adapter.lora_r": 16, "adapter.lora_alpha": 16}
CASES = {  # what the job says, and how many ranks each of three hosts has
    "full": ({}, 1),
    "full, gradients of one micro-batch": ({"train.micro_batch_size": 2}, 1),
    "LoRA, replicated": ({**LORA, "shard.adapter_strategy": "replicated"}, 1),
    "LoRA, sharded": ({**LORA, "shard.adapter_strategy": "sharded"}, 1),
    "QLoRA": ({**LORA, "model.quantization": "nf4"}, 1),
    "LoRA, the base split inside each host": ({**LORA, "shard.strategy": "hybrid_shard"}, 2)}

own_namespaces()
train, _ = program()


def sent(host):
    """Bytes that the host's interface has sent so far."""
    counters = subprocess.run(["ip", "-n", host, "-s", "-j", "link", "show", "eth0"], check=True, capture_output=True, text=True).stdout
    return json.loads(counters)[0]["stats64"]["tx"]["bytes"]


def settings_of(place, ranks):
    (place / "model").mkdir(exist_ok=True)
    (place / "model/config.json").write_text(json.dumps(MODEL))
    draw = random.Random(1)
    samples = [{"input_ids": [draw.randrange(512) for _ in range(12)]} for _ in range(8 * ranks * MANY)]
    (place / "data.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return {"model.base": place / "model", "model.init": "random", "model.precision": "bf16", "data.sequence_len": 12,
            "data.sample_packing": "false", "dataset.a.path": place / "data.jsonl", "dataset.a.type": "tokenized",
            "train.learning_rate": 1e-4, "train.micro_batch_size": 1, "train.global_batch_size": 2 * ranks, "checkpoint.export": "never",
            "log.tensorboard": "false", "device.threads": 1}


def measured(on_hosts, folder, settings, ranks):
    """Bytes per step of each host."""
    totals = []
    for steps in (FEW, MANY):
        before = [sent(host) for host in NAMES]
        on_hosts.run(folder / str(steps), {**settings, "train.max_steps": steps}, ranks)
        totals.append([sent(host) - was for host, was in zip(NAMES, before)])
    return [(many - few) / (MANY - FEW) for few, many in zip(*totals)]


def planned(folder, settings, ranks, ranks_per_host):
    job = train.job(folder / "plan", {**settings, "train.max_steps": MANY, "plan.ranks": ranks, "plan.ranks_per_host": ranks_per_host,
                                      "plan.device": "cpu", "plan.flops": 1})
    text = train.alone("plan", job)
    amount, unit = re.search(r"inside the host, ([\d.]+) (\w+) between hosts", text).groups()
    return float(amount) * {"MiB": 2**20, "GiB": 2**30}[unit] * ranks_per_host


with workspace() as place:
    hosts = Hosts(*NAMES)
    for number, (name, (settings, per_host)) in enumerate(CASES.items()):
        ranks = per_host * len(NAMES)
        settings = {**settings_of(place, ranks), **settings}
        folder = place / str(number)
        plan = planned(folder, settings, ranks, per_host)
        found = measured(ProgramOnHosts(train.train, hosts, place, slots=per_host), folder, settings, ranks)
        mean = sum(found) / len(found)
        require(abs(mean - plan) <= 0.02 * plan, f"{name}: hosts send {mean / 2**20:.2f} MiB a step, {plan / 2**20:.2f} by the plan",
                (found, plan))
