#!/usr/bin/env python3
"""Prints the table of docs/adapters.md: memory per rank by `train plan` for Llama 3 of 1, 8 and 70 billion weights.

    scripts/memory_table.py build/release/train
"""
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

MODELS = {  # hidden_size, intermediate_size, layers, heads, key/value heads, tied
    "1B": (2048, 8192, 16, 32, 8, True), "8B": (4096, 14336, 32, 32, 8, False), "70B": (8192, 28672, 80, 64, 8, False)}
LORA = ["adapter.type=lora", "adapter.lora_r=16", "adapter.lora_alpha=16"]
METHODS = {
    "LoRA, base in bf16": LORA,
    "QLoRA": [*LORA, "model.quantization=nf4"],
    "QLoRA, `offload = params`": [*LORA, "model.quantization=nf4", "shard.offload=params"],
    "full, 8-bit moments": ["train.optimizer=adamw_8bit"],
    "full, 8-bit moments, `offload = optimizer`": ["train.optimizer=adamw_8bit", "shard.offload=optimizer"]}
MACHINES = {"1 × 24 GB": (1, 24), "1 × 80 GB": (1, 80), "4 × 24 GB": (4, 24)}  # ranks, memory of each
BESIDE_THE_PLAN = 1.5  # GB: CUDA, NCCL, workspaces
JOB = """[job]
output_dir = out
[model]
base = model
[dataset.any]
path = any.jsonl
type = alpaca
[data]
sequence_len = 2048
[train]
max_steps = 1
micro_batch_size = 1
global_batch_size = 4
learning_rate = 1e-4
[plan]
device = cuda
ranks_per_host = 1
"""


def write_model(folder, sizes):
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "tie_word_embeddings")
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128256, "rms_norm_eps": 1e-5, "hidden_act": "silu",
        "max_position_embeddings": 131072, "rope_theta": 500000.0, **dict(zip(names, sizes))}))


def gigabytes(train, job, settings, ranks):
    command = [train, "plan", job, f"plan.ranks={ranks}", *settings]
    plan = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(re.search(r"memory per rank: (\d+) MB", plan)[1]) / 1000


def main():
    train = Path(sys.argv[1]).resolve()
    print(f"| model | method | {' | '.join(MACHINES)} |\n|---|---|{'---|' * len(MACHINES)}")
    with tempfile.TemporaryDirectory() as place:
        job = Path(place) / "job.ini"
        job.write_text(JOB)
        for model, sizes in MODELS.items():
            write_model(Path(place) / "model", sizes)
            for method, settings in METHODS.items():
                cells = []
                for ranks, memory in MACHINES.values():
                    needed = gigabytes(train, job, settings, ranks)
                    cells.append(f"**{needed:.1f}**" if needed + BESIDE_THE_PLAN <= memory else f"{needed:.1f}")
                print(f"| {model} | {method} | {' | '.join(cells)} |")


main()
