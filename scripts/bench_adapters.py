#!/usr/bin/env python3
"""Full fine-tuning, LoRA and QLoRA of SmolLM2-135M-Instruct on the demonstration's data, beside one another.

    scripts/bench_adapters.py [--train ./train] [--steps 60] [-o build/bench/adapters.json]

The job is jobs/demo.ini on two CPU ranks, one thread each; r = 16, alpha = 32 on all linear modules.  Prints a table: evaluation
loss, speed, memory, what is sent and what a checkpoint takes.  Needs scripts/make_smollm2.py and scripts/make_definitions.py to
have run; the Python standard library is enough.
"""
import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from reference_cases import environment  # noqa: E402

PLACE = ROOT / "build" / "bench"
RANKS = 2
LORA = ["adapter.type=lora", "adapter.lora_r=16", "adapter.lora_alpha=32"]
METHODS = {"full": ["train.learning_rate=3e-4"], "LoRA": [*LORA, "train.learning_rate=1e-3"],
           "QLoRA": [*LORA, "model.quantization=nf4", "train.learning_rate=1e-3"]}


def run(*command):
    done = subprocess.run(list(map(str, command)), env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(train, name, settings, steps):
    out = PLACE / f"adapters-{name}"
    shutil.rmtree(out, ignore_errors=True)
    settings = [*settings, f"job.output_dir={out}", f"train.max_steps={steps}", f"eval.eval_steps={steps}", f"checkpoint.save_steps={steps}",
                "checkpoint.export=never", "log.tensorboard=false", "device.type=cpu", "device.threads=1"]
    job = ROOT / "jobs" / "demo.ini"
    output = run("mpirun", "-n", RANKS, "--bind-to", "none", train, job, *settings)
    plan = run(train, "plan", job, *settings, f"plan.ranks={RANKS}", f"plan.ranks_per_host={RANKS}", "plan.device=cpu", "plan.flops=1")
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    updates, losses = [row for row in rows if "loss" in row], [row["eval_loss"] for row in rows if "eval_loss" in row]
    result = {
        "trained": re.search(r"(\d+) weights, of which (\d+)|(\d+) weights", output).group(0),
        "eval_loss": [losses[0], losses[-1]],
        "tokens_per_second": statistics.median(row["tokens"] / row["seconds"] for row in updates[1:]),
        "resident_bytes": max(row["peak_host_bytes"] for row in updates),
        "planned_bytes": float(re.search(r"memory per rank: (\d+) MB", plan).group(1)) * 1e6,
        "sent": re.search(r"bytes sent per rank and step: (.+?) inside", plan).group(1),
        "checkpoint_bytes": size_of(out / "checkpoints" / f"step-{steps:06d}")}
    print(f"{name}: {result}", file=sys.stderr, flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, default=ROOT / "train")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("-o", "--output", type=Path, default=PLACE / "adapters.json")
    arguments = parser.parse_args()
    PLACE.mkdir(parents=True, exist_ok=True)
    found = {name: measure(arguments.train.resolve(), name, settings, arguments.steps) for name, settings in METHODS.items()}
    arguments.output.write_text(json.dumps(found, indent=1) + "\n")
    print("| method | evaluation loss, before → after | tokens/s | resident, MB per rank | by the plan, MB | sent per rank and step | "
          "checkpoint, MB |\n|---|---|---|---|---|---|---|")
    for name, row in found.items():
        before, after = row["eval_loss"]
        print(f"| {name} | {before:.2f} → {after:.2f} | {row['tokens_per_second']:.0f} | {row['resident_bytes'] / 1e6:.0f} | "
              f"{row['planned_bytes'] / 1e6:.0f} | {row['sent']} | {row['checkpoint_bytes'] / 1e6:.0f} |")


if __name__ == "__main__":
    main()
