"""`make bench`: tokens per second and memory of ./train beside PyTorch, on this machine, into docs/benchmarks.md.

    build/venv/bin/python scripts/bench.py [--rounds 3] [--steps 5] [--ranks 2] [--precisions bf16,fp32] [--print]

SmolLM2-135M, the whole model beside FSDP2 and LoRA beside peft; sequences of 1024 tokens, micro-batch 1, full recomputation, one
thread a rank.  Both programs run in turns, so that whatever else the machine does falls on both; the ratio of a round compares
neighbours in time.  The first step of each run is left out.  Then the time from exec to the first step of a tiny job.
--trainings chooses; --print leaves the page as it is.
"""
import argparse
import datetime
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "build" / "bench"
MODEL = ROOT / "build" / "models" / "SmolLM2-135M-Instruct"
TINY = ROOT / "test" / "data" / "reference" / "llama"
SEQUENCE_LEN, VOCABULARY = 1024, 49152
MARKER = "<!-- below this line the page is written by hand -->"
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}

JOB = """[job]
output_dir = {out}
[model]
base = {model}
precision = {precision}
[data]
sequence_len = {length}
sample_packing = false
shuffle = false
[dataset.random]
path = {data}
type = tokenized
[train]
max_steps = {steps}
learning_rate = 1e-4
lr_scheduler = constant
[checkpoint]
export = never
resume = never
[log]
tensorboard = false
profile = true
[device]
type = cpu
threads = 1
"""
LORA_R = 16
TRAININGS = {"full": "", "LoRA": f"[adapter]\ntype = lora\nlora_r = {LORA_R}\nlora_alpha = {2 * LORA_R}\n"}


def run(*command):
    done = subprocess.run(list(map(str, command)), env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def write_data(path):
    """Random tokens: how fast a step is does not depend on them."""
    rng = random.Random(1)
    rows = ({"input_ids": [rng.randrange(VOCABULARY) for _ in range(SEQUENCE_LEN)]} for _ in range(64))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def mpirun(ranks, job):
    return ["mpirun", "-n", ranks, "--bind-to", "none", ROOT / "train", job]


def tessera(training, precision, arguments, data):
    out = PLACE / "run"
    shutil.rmtree(out, ignore_errors=True)
    job = PLACE / "bench.ini"
    job.write_text(JOB.format(out=out, model=MODEL, precision=precision, length=SEQUENCE_LEN, data=data,
                              steps=arguments.steps) + TRAININGS[training])
    output = run(*mpirun(arguments.ranks, job))
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if "loss" in row]
    return {"seconds": [row["seconds"] for row in rows], "loss": [row["loss"] for row in rows],
            "peak_bytes": max(row["peak_host_bytes"] for row in rows),
            "plan": next(line for line in output.splitlines() if line.startswith("memory per rank:")),
            "profile": {phase: statistics.median(row["profile"][phase] for row in rows[1:]) for phase in rows[0]["profile"]}}


def peer(training, precision, arguments, data):
    output = run(sys.executable, ROOT / "scripts/bench_peer.py", MODEL, data, "--precision", precision, "--ranks",
                 arguments.ranks, "--steps", arguments.steps, "--lora-r", LORA_R if training == "LoRA" else 0)
    result = json.loads(output.splitlines()[-1])
    return {**result, "peak_bytes": max(result["peak_bytes"])}


def compare(training, precision, arguments, data):
    """A row of the table, and what ./train said of its last run."""
    rates = {"tessera": [], "peer": []}
    peaks, last = {}, {}
    for _ in range(arguments.rounds):
        for name, program in (("tessera", tessera), ("peer", peer)):
            result = program(training, precision, arguments, data)
            seconds = statistics.median(result["seconds"][1:])
            rates[name].append(arguments.ranks * SEQUENCE_LEN / seconds)
            last[name] = {**result, "step": seconds}
            peaks[name] = max(peaks.get(name, 0), result["peak_bytes"])
            print(f"{training}, {precision}, {name}: {rates[name][-1]:.1f} tokens/s, {result['peak_bytes'] / 2**20:.0f} MiB a rank, "
                  f"loss {result['loss'][0]:.4f} -> {result['loss'][-1]:.4f}", flush=True)
    ratios = [ours / theirs for ours, theirs in zip(rates["tessera"], rates["peer"])]
    return (f"| {precision} | {statistics.median(rates['tessera']):.0f} | {statistics.median(rates['peer']):.0f} | "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | "
            f"{peaks['tessera'] / 2**20:.0f} | {peaks['peer'] / 2**20:.0f} |"), last["tessera"]


def profile(run_of_precision):
    """Rows of phases: seconds a step, and their share of it."""
    rows = []
    for phase in next(iter(run_of_precision.values()))["profile"]:
        cells = (f"{r['profile'][phase]:.3f} s, {100 * r['profile'][phase] / r['step']:.0f} %" for r in run_of_precision.values())
        rows.append(f"| {phase} | {' | '.join(cells)} |")
    return chr(10).join(rows)


def written_by_hand(page):
    """What stands behind the marker stays."""
    return page.read_text().split(MARKER, 1)[1] if page.exists() and MARKER in page.read_text() else chr(10)


def first_step(ranks):
    """Seconds from exec of mpirun to the first line of a step in metrics.jsonl."""
    out = PLACE / "tiny"
    shutil.rmtree(out, ignore_errors=True)
    job = PLACE / "tiny.ini"
    job.write_text(JOB.format(out=out, model=TINY / "model", precision="fp32", length=64, data=TINY / "train.jsonl", steps=1))
    begin = time.perf_counter()
    process = subprocess.Popen(list(map(str, mpirun(ranks, job))), env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    metrics = out / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and '"grad_norm"' in metrics.read_text()):
        time.sleep(0.002)
    seconds = time.perf_counter() - begin
    if process.wait():
        sys.exit(f"the tiny job ended with {process.returncode}")
    return seconds


def machine():
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    flags = Path("/proc/cpuinfo").read_text()
    names = (("AVX2", " avx2"), ("AVX-512", " avx512f"), ("AVX-512 bf16", " avx512_bf16"), ("AMX bf16", " amx_bf16"))
    units = [name for name, flag in names if flag in flags]
    return f"{model}, {os.cpu_count()} cores, {', '.join(units)}"


def versions():
    code = "import peft, torch, transformers as t; print('torch', torch.__version__, '· transformers', t.__version__, '· peft', peft.__version__)"
    return run(sys.executable, "-c", code).strip()


HEAD = """| precision | ./train, tokens/s | PyTorch, tokens/s | ratio (range) | ./train, MiB per rank | PyTorch, MiB per rank |
|---|---|---|---|---|---|
"""


def full_section(arguments, rows, runs):
    return f"""## One step of SmolLM2-135M
{arguments.ranks} ranks on this machine, one thread per rank, sequences of {SEQUENCE_LEN} tokens, micro-batch 1,
`gradient_checkpointing = full` (keeps a layer's input and its attention output), `strategy = full_shard`. The peer is `fully_shard`
with transformers' model, its gradient checkpointing (keeps a layer's input) and fused AdamW (scripts/bench_peer.py). Medians of
{arguments.rounds} rounds of {arguments.steps} steps, the two programs in turns, without the first step of each; memory is the largest
resident set of a rank.

{HEAD}{chr(10).join(rows)}

The memory plan ([sharding.md](sharding.md#memory)): {"; ".join(f"{name} {last['plan']}" for name, last in runs.items())}. A rank also holds
the snapshot of the final save, scratch memory of kernels, and the libraries.

## Where a step goes
Rank 0, `log.profile`. forward, backward and optimizer follow one another on the compute stream; wait, gemm, attention, loss and
elementwise lie within them; gather and reduce run on the communication stream and include waiting for the other rank.

| phase | {" | ".join(runs)} |
|---|{"---|" * len(runs)}
{profile(runs)}
"""


def lora_section(arguments, rows, runs):
    return f"""## One step of LoRA
As above, with r = {LORA_R} on all linear modules; {arguments.rounds} rounds of {arguments.steps} steps. ./train splits the frozen base over the
ranks and replicates the adapter (its defaults). The peer is peft with DistributedDataParallel: the base in the precision of the
row on every rank, the adapter in fp32.

{HEAD}{chr(10).join(rows)}

The memory plan: {"; ".join(f"{name} {last['plan']}" for name, last in runs.items())}.
"""


def sections(arguments, data):
    for training, section in (("full", full_section), ("LoRA", lora_section)):
        if training not in arguments.trainings.split(","):
            continue
        compared = {precision: compare(training, precision, arguments, data) for precision in arguments.precisions.split(",")}
        yield section(arguments, [row for row, _ in compared.values()], {name: last for name, (_, last) in compared.items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--precisions", default="bf16,fp32", help="where a processor has no bf16, PyTorch takes minutes a step")
    parser.add_argument("--trainings", default=",".join(TRAININGS))
    parser.add_argument("--print", action="store_true", help="and do not write docs/benchmarks.md")
    arguments = parser.parse_args()
    run(sys.executable, ROOT / "scripts/make_smollm2.py")
    PLACE.mkdir(parents=True, exist_ok=True)
    data = PLACE / "random.jsonl"
    write_data(data)
    starts = {ranks: min(first_step(ranks) for _ in range(5)) for ranks in (1, arguments.ranks)}
    page = ROOT / "docs" / "benchmarks.md"
    commit = run("git", "-C", ROOT, "rev-parse", "--short", "HEAD").strip()
    text = f"""# Benchmarks

`scripts/bench.py --rounds {arguments.rounds} --steps {arguments.steps} --precisions {arguments.precisions}` wrote this part of the page
on {datetime.date.today()}, commit {commit}. `make bench` runs 3 rounds of 5 steps in both precisions.
Machine: {machine()}. Peer: {versions()}, gloo.

{chr(10).join(sections(arguments, data))}
## From exec to the first step of a tiny job
The reference case `llama` (22 thousand parameters), from the start of mpirun until metrics.jsonl has the first step, minimum of 5:
{', '.join(f'{seconds:.2f} s on {ranks} rank{"s" if ranks > 1 else ""}' for ranks, seconds in starts.items())}.
"""
    if not arguments.print:
        page.write_text(text + MARKER + written_by_hand(page))
    print(text)


if __name__ == "__main__":
    main()
