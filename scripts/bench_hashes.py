#!/usr/bin/env python3
"""What the checksums cost: loading a checkpoint, exporting it, and preparing data.

    scripts/bench_hashes.py MODEL DATA.jsonl --without PROGRAM [--pairs 9] [--megabytes 24]

MODEL is a Hugging Face directory.  PROGRAM is `train` built with the checksums of CheckpointReader taken out by hand: stream_part and
open_shard hash and compare nothing.  Both resume, with nothing left to train, and export the same checkpoint of one step, in turns;
the figures are medians, and ratios the median of the pairs' ratios.  Pages that the kernel clears make the clock's figures vary most:
what hashing adds is in the user's.  DATA.jsonl (type = completion, key `text`) is written over and over into a file of so many
megabytes and prepared under `perf`: libxxhash's share of all samples, in which the hash of the tokenizer's tables counts too.
Standard library alone; needs perf.
"""
import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

JOB = """[job]
output_dir = {output}
[model]
base = {model}
precision = bf16
[data]
sequence_len = 512
workers = 1
prepared_path = {output}/prepared
[dataset.text]
path = {data}
type = completion
[train]
max_steps = 1
learning_rate = 1e-5
[checkpoint]
export = never
[device]
type = cpu
threads = 1
[log]
tensorboard = false
"""


ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}


def run(*command):
    """Seconds of the clock, of the user's and of the system's processor time that a run took, and what it printed."""
    before, began = os.times(), time.monotonic()
    done = subprocess.run([str(word) for word in command], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    seconds, after = time.monotonic() - began, os.times()
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{output[-3000:]}")
    return (seconds, after.children_user - before.children_user, after.children_system - before.children_system), output


def repeated(source, place, megabytes):
    lines = source.read_bytes()
    with place.open("wb") as file:
        for _ in range(max(1, megabytes * 1_000_000 // len(lines))):
            file.write(lines)


def compare(what, pairs, programs, arguments, clear):
    """Runs both programs in turns and prints a row for each clock; programs: with the hashes, without."""
    taken = []
    for pair in range(pairs):
        one = {}
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            clear()
            one[side], _ = run(programs[side], *arguments)
        taken.append((one[0], one[1]))
    for clock, unit in enumerate(("wall", "user", "system")):
        ratios = [a[clock] / b[clock] for a, b in taken]
        a, b = (statistics.median(pair[side][clock] for pair in taken) for side in (0, 1))
        print(f"| {what} | {unit} | {a:.2f} | {b:.2f} | {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) |", flush=True)


def share_of_hashing(program, job, prepared, work):
    """Of one preparation, in percent."""
    shutil.rmtree(prepared, ignore_errors=True)
    run("perf", "record", "-q", "-F", "997", "-o", work / "perf.data", program, "preprocess", job)
    _, report = run("perf", "report", "-i", work / "perf.data", "--sort", "dso", "--stdio")
    return sum(float(share) for share in re.findall(r"([\d.]+)%.*libxxhash", report))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--without", type=pathlib.Path, required=True)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--megabytes", type=int, default=24)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/release/train")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tessera-hashes-", dir=ROOT / "build") as work:
        work = pathlib.Path(work)
        few, many, output = work / "few.jsonl", work / "many.jsonl", work / "out"
        few.write_bytes(b"\n".join(arguments.data.read_bytes().split(b"\n")[:8]) + b"\n")
        repeated(arguments.data, many, arguments.megabytes)
        for name, data in (("few.ini", few), ("many.ini", many)):
            (work / name).write_text(JOB.format(output=output, model=arguments.model.resolve(), data=data))
        run(arguments.program, work / "few.ini")  # a checkpoint of one step
        programs = (arguments.program, arguments.without)
        print("| what | seconds | with | without | ratio of the pairs, median (range) |\n|---|---|---|---|---|")
        compare("load: run, with nothing left to do", arguments.pairs, programs, [work / "few.ini"], lambda: None)
        compare("export", arguments.pairs, programs, ["export", work / "few.ini"], lambda: shutil.rmtree(output / "final", ignore_errors=True))
        shares = [share_of_hashing(arguments.program, work / "many.ini", output / "prepared", work) for _ in range(arguments.pairs)]
        print(f"preparing {arguments.megabytes} MB: hashing is {statistics.median(shares):.2f} % ({min(shares):.2f} to {max(shares):.2f})")


if __name__ == "__main__":
    main()
