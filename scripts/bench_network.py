#!/usr/bin/env python3
"""LoRA over two hosts with a slow network between them, beside the same without the limit, in turns.

    scripts/bench_network.py [--rate 50mbit] [--rounds 3] [--steps 2] [--train ./train]

The hosts are network namespaces of this machine, which end with the script (test/cluster/hosts.py); a token bucket (tc tbf)
limits what each sends.  SmolLM2-135M-Instruct, r = 16 on all linear modules, bf16, eight micro-batches of 1024 tokens per update over all ranks:
the base whole on two hosts of one rank, and split inside each of two hosts of two ranks (hybrid_shard).  The first update of a
run is left out.  Prints a table; needs scripts/make_smollm2.py to have run.
"""
import argparse
import json
import random
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "test" / "cluster"), str(ROOT / "test" / "e2e")]
from harness import metrics, workspace  # noqa: E402
from hosts import Hosts, ProgramOnHosts, own_namespaces  # noqa: E402

NAMES = ["alpha", "beta"]
MODEL = ROOT / "build" / "models" / "SmolLM2-135M-Instruct"
LENGTH, MICRO_BATCHES, VOCABULARY = 1024, 8, 49152
PLACES = {"whole on each host": ("no_shard", 1), "split inside each host": ("hybrid_shard", 2)}


def settings(place, steps):
    draw = random.Random(1)
    rows = ({"input_ids": [draw.randrange(VOCABULARY) for _ in range(LENGTH)]} for _ in range(MICRO_BATCHES * steps))
    (place / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"model.base": MODEL, "model.precision": "bf16", "data.sequence_len": LENGTH, "data.sample_packing": "false",
            "dataset.random.path": place / "data.jsonl", "dataset.random.type": "tokenized", "adapter.type": "lora",
            "adapter.lora_r": 16, "adapter.lora_alpha": 32, "train.learning_rate": 1e-4, "train.micro_batch_size": 1,
            "train.global_batch_size": MICRO_BATCHES, "train.max_steps": steps, "checkpoint.export": "never",
            "log.tensorboard": "false", "device.type": "cpu", "device.threads": 1}


def limit(rate):
    """What a host sends, in tc's words; nothing: no limit."""
    for host in NAMES:
        inside = ["ip", "netns", "exec", host, "tc", "qdisc"]
        subprocess.run([*inside, "del", "dev", "eth0", "root"], stderr=subprocess.DEVNULL, check=False)
        if rate:
            subprocess.run([*inside, "add", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "64kb", "latency", "200ms"], check=True)


def seconds(on_hosts, folder, job, ranks):
    on_hosts.run(folder, job, ranks)
    return statistics.median(row["seconds"] for row in metrics(folder)[1:] if "loss" in row and row["step"] > 1)


def measure(on_hosts, place, job, ranks, arguments):
    pairs = []
    for number in range(arguments.rounds):
        pair = []
        for rate in (arguments.rate, None):
            limit(rate)
            pair.append(seconds(on_hosts, place / f"{number}-{rate}", job, ranks))
        pairs.append(pair)
        print(f"  {pair[0]:.2f} s with the limit, {pair[1]:.2f} s without", file=sys.stderr, flush=True)
    return pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", default="50mbit", help="as tc has it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2, help="updates per run")
    parser.add_argument("--train", type=Path, default=ROOT / "train")
    arguments = parser.parse_args()
    own_namespaces()
    print(f"| base | ranks | s per update, {arguments.rate} | s per update, no limit | speed kept (range) |\n|---|---|---|---|---|")
    with workspace() as place:
        hosts = Hosts(*NAMES)
        job = settings(place, arguments.steps)
        for name, (strategy, per_host) in PLACES.items():
            ranks = per_host * len(NAMES)
            folder = place / strategy
            folder.mkdir()
            pairs = measure(ProgramOnHosts(arguments.train, hosts, place, slots=per_host), folder,
                            {**job, "shard.strategy": strategy}, ranks, arguments)
            kept = [free / limited for limited, free in pairs]
            limited, free = (statistics.median(column) for column in zip(*pairs))
            print(f"| {name} | {ranks} | {limited:.2f} | {free:.2f} | "
                  f"{statistics.median(kept):.2f} ({min(kept):.2f} to {max(kept):.2f}) |", flush=True)


if __name__ == "__main__":
    main()
