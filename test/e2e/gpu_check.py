"""gpu_check.py TRAIN BENCH_KERNELS: scripts/gpu-check, rehearsed on a CPU: every stage leaves a result, and one that fails
or hangs stops no other.  compute-sanitizer and nvidia-smi are stand-ins.  What needs no run is asked of the functions
themselves.
"""
import json
import math
import os
import signal
import subprocess
import re
import sys
import tarfile
import time
from pathlib import Path

from harness import ROOT, program, require, skip, workspace

if sys.version_info < (3, 10):
    skip("scripts/gpu-check needs Python 3.10")
from gpu_check.documents import Documents  # noqa: E402
from gpu_check.shapes import LLAMA31_8B, LLAMA31_8B_LORA, LLAMA31_8B_QLORA, LLAMA32_1B, QWEN25_3B, SMOLLM2_135M  # noqa: E402
from gpu_check.training import FULL, PACKED, WANTED, lengths_of_steps, rates, ratios_by_round  # noqa: E402

STAGES = ["unit", "reference", "resume", "ranks", "sanitizer", "kernels", "training"]
MEASURED = {"device": "stand-in", "sizes": {"T": 8, "loss_rows": 8, "shard": 1000}, "copy_bytes_per_second": 1e9,
            "gemm_flops_per_second": {"bf16": 2e9, "f32": 1e9}, "launch_seconds": 1e-6,
            "kernels": [{"name": "rmsnorm_forward", "call": "", "shape": "T = 8", "dtype": "bf16", "seconds": 4e-6,
                         "bytes": 1000, "flops": 0, "bound_seconds": 1e-6, "fraction_of_bound": 0.25}]}
PEER = {"warm_up_seconds": [9, 1, 1], "seconds": [1, 2, 1], "tokens": 1000, "loss": [1.0], "peak_bytes": 1 << 30,
        "attention": "MATH", "versions": "stand-in"}
STAND_INS = {
    "compute-sanitizer": 'while [ "${1#--}" != "$1" ]; do shift 2; done\n"$@" && echo "ERROR SUMMARY: 0 errors"',
    "hangs": "sleep 98765 & wait",
    "hangs_later": f"while [ $1 != --json ]; do shift; done\necho '{json.dumps(MEASURED)}' >$2; sleep 98765 & wait",
    "fails": "echo it fails; exit 1",
    "nvidia-smi": 'case $1 in *memory.used*) echo 1234 ;; *) echo "stand-in, 1.0, 81559, 700, 1980, 1" ;; esac',
    # A Python with PyTorch, which is wrong about Qwen, has too little memory for fp32 weights of the 8B model, and says
    # something when it ends.
    "with_torch": f"""case $* in
-c*) echo True ;;
*Qwen*) echo '{{"seconds": [' ;;
*8B*fp32*) echo "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"; exit 1 ;;
*) echo '{json.dumps(PEER)}'; echo "[W1126] destroyed before its work was done" ;;
esac""",
}


class GpuCheck:
    def __init__(self, train, place, bench_kernels):
        self.place, self.train = place, train
        self.bench_kernels = bench_kernels
        for name, text in STAND_INS.items():
            (place / name).write_text(f"#!/bin/sh\n{text}\n")
            (place / name).chmod(0o755)

    def start(self, output, *arguments, train=None):
        command = [sys.executable, ROOT / "scripts/gpu-check", "--rehearse", "--train", train or self.train,
                   "--bench-kernels", self.bench_kernels, "--output", self.place / output, *arguments]
        variables = {**os.environ, "PATH": f"{self.place}{os.pathsep}{os.environ['PATH']}"}
        return subprocess.Popen(list(map(str, command)), env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)

    def run(self, output, *arguments, train=None):
        """(exit status, stages by name, gpu-check.md, what it printed)."""
        process = self.start(output, *arguments, train=train)
        printed, _ = process.communicate()
        return process.returncode, self.stages(output), (self.place / output / "gpu-check.md").read_text(), printed

    def result(self, output):
        try:
            return json.loads((self.place / output / "gpu-check.json").read_text())
        except FileNotFoundError:
            return {"stages": []}

    def stages(self, output):
        return {stage["name"]: stage for stage in self.result(output)["stages"]}


def sleepers():
    """Processes that the stand-in that hangs has started."""
    def words(process):
        try:
            return (process / "cmdline").read_bytes()
        except OSError:
            return b""  # it has ended meanwhile

    return sum(words(process).startswith(b"sleep\x0098765") for process in Path("/proc").glob("[0-9]*"))


def every_stage_leaves_a_result(check):
    status, stages, page, printed = check.run("whole")
    require(list(stages) == STAGES, "gpu-check.json has every stage", list(stages))
    require(all(stage["status"] in ("passed", "skipped") for stage in stages.values()),
            "each passes, or is skipped with a reason", printed)
    require(status == 0, "then the exit status is 0", (status, printed))
    require(all(f"| {name} | " in page for name in STAGES), "gpu-check.md has every stage", page)
    files = sorted(file.name for file in (check.place / "whole").iterdir())
    require(files == ["gpu-check.json", "gpu-check.md", "logs.tar.gz"], "three files hold all", files)
    with tarfile.open(check.place / "whole" / "logs.tar.gz") as logs:
        names = logs.getnames()
    require(len(names) > 20 and all(re.fullmatch(r"[A-Za-z0-9._/-]+", name) for name in names), "logs have plain names", names)
    figures_stand_beside_the_models(stages, page)
    require("REHEARSED" in page and check.result("whole")["rehearsed"] and
            all("rehearsed" in stage["summary"] for stage in stages.values()), "a rehearsal says so everywhere", page)
    shapes = stages["training"]["shapes"]
    require(len(shapes) == 6 and all(shape["tokens_per_second"] > 0 and shape["packed_tokens_per_second"] > 0 and
                                     shape["plan_bytes"] > 0 and shape["c_mfu"] is None and "ratio" not in shape
                                     for shape in shapes.values()),
            "six shapes train, with no figure that only a GPU has", shapes)
    require(all(row["verdict"] == "not judged" for row in stages["training"]["targets"]), "no target is judged",
            stages["training"]["targets"])
    require(all("peer" in shape for shape in shapes.values()) or "not there" in stages["training"]["summary"],
            "PyTorch trains beside, or is said not to be there", stages["training"])


def figures_stand_beside_the_models(stages, page):
    measured = stages["kernels"]["measured"]
    require(all(math.isclose(kernel["measured_over_predicted"], kernel["seconds"] / kernel["predicted_seconds"])
                for kernel in measured["kernels"]) and "| measured/predicted | calls an update | lost an update, ms |" in page,
            "each kernel stands beside what the model predicts", measured["kernels"][0])
    lost = [kernel["lost_seconds_of_update"] for kernel in measured["kernels"] if kernel["calls_of_update"]]
    require(len(lost) > 20 and lost == sorted(lost, reverse=True), "most time lost first", lost)
    models = {name: shape["model"] for name, shape in stages["training"]["shapes"].items() if "model" in shape}
    require(len(models) == 4, "of the shapes without an adapter", list(models))
    for name, model in models.items():
        require(math.isclose(model["predicted_tokens_per_second"] * model["predicted_seconds"], 2 * 128) and
                math.isclose(sum(model["predicted_parts"].values()), model["predicted_seconds"]) and
                math.isclose(model["measured_over_predicted"], model["seconds"] / model["predicted_seconds"]) and
                model["predicted_c_mfu"] is None and "predicted, tokens/s | predicted, C-MFU |" in page,
                f"so does the update of {name}", model)
    require(all(model["kernels_alone_seconds"] > 0 for name, model in models.items() if "Llama-3.2-1B" in name),
            "beside what its kernels took alone", models)


def a_step_alone_has_no_targets(check):
    status, stages, page, printed = check.run("step", "--stages", "step")
    shapes = stages["step"]["shapes"]
    require(status == 0 and len(shapes) == 1 and "targets" not in stages["step"] and "PyTorch" not in stages["step"]["summary"],
            "one model trains, beside nothing", printed)
    require(all(shape["model"]["predicted_seconds"] > 0 and shape["model"]["kernels_alone_seconds"] is None
                for shape in shapes.values()) and "## Updates against the model" in page,
            "and the model's figures, with what was measured for it alone", page)
    require("kernels, training (not of this call)." in page, "what was left out is listed", page)


def a_failure_stops_no_other_stage(check):
    status, stages, page, printed = check.run("failing", "--stages", "reference,kernels,training",
                                              train=check.place / "fails")
    require(status == 1, "where train fails the exit status is 1", (status, printed))
    require([stages[name]["status"] for name in ("reference", "kernels", "training")] == ["failed", "passed", "failed"],
            "its stages are failed, the others run", printed)
    require("it fails" in page, "gpu-check.md has what it printed", page)


def a_stage_that_hangs_is_ended(check):
    status, stages, page, printed = check.run("hanging", "--stages", "kernels,sanitizer", "--limit", "kernels=2",
                                              "--bench-kernels", check.place / "hangs_later")
    require(status == 1 and stages["kernels"]["status"] == "timed_out", "a stage that hangs is reported as timed out", printed)
    require("| rmsnorm_forward | T = 8 |" in page, "the kernels that were measured before are kept", page)
    require(stages["sanitizer"]["status"] == "passed", "the next one runs", printed)
    require(sleepers() == 0, "nothing of it is left running")


def a_killed_run_leaves_what_it_has(check):
    process = check.start("killed", "--stages", "sanitizer,kernels", "--bench-kernels", check.place / "hangs")
    while process.poll() is None and not (check.stages("killed") and sleepers()):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate()
    require(process.returncode != 0 and list(check.stages("killed")) == ["sanitizer"],
            "a run that is ended leaves the stages that were done", printed)
    require(sleepers() == 0, "and nothing running")


def a_run_that_goes_wrong_costs_that_run_alone(check):
    status, stages, page, printed = check.run("wrong-peer", "--stages", "training", "--python", check.place / "with_torch")
    shapes = {name.rpartition("of ")[2]: shape for name, shape in stages["training"]["shapes"].items()}
    require(all(shape["tokens_per_second"] > 0 for shape in shapes.values()), "every shape is measured", printed)
    require(all(shape["memory_in_use"] == 1234 << 20 for shape in shapes.values()), "what nvidia-smi says meanwhile is kept")
    require({name for name, shape in shapes.items() if "peer" in shape} == {"Llama-3.2-1B", "Llama-3.1-8B", "Llama-3.1-8B, LoRA", "Llama-3.1-8B, QLoRA", "SmolLM2-135M"},
            "what a peer prints after its result does no harm", (shapes, printed))
    require(status == 1 and "JSONDecodeError" in shapes["Qwen2.5-3B"]["errors"][0],
            "a result that cannot be read is that run's error", (status, printed))
    require([shape["peer"]["parameters"] for shape in shapes.values() if "peer" in shape] == ["fp32"] + 3 * ["bf16"] + ["fp32"] and
            "(bf16 weights)" in page, "a peer that runs out of memory has bf16 weights, and the page says so", page)


def without_time_nothing_begins(check):
    _, stages, page, printed = check.run("no-time", "--stages", "training", "--limit", "training=5")
    require(stages["training"]["summary"].count("left out: no time") == 6 and page.count("left out: no time") > 4 and
            not any(shape["errors"] for shape in stages["training"]["shapes"].values()),
            "what there is no time for is said to be left out", printed)


def no_counted_step_has_new_lengths():
    shape = LLAMA32_1B
    sequences = packed_in_order(lengths_of_steps(shape, Documents(shape.of("vocab_size"), shape.sequence_len)),
                                shape.sequence_len)
    steps = [sequences[begin:begin + shape.sequences] for begin in range(0, len(sequences), shape.sequences)]
    require(len(steps) == WANTED and len(sequences) == WANTED * shape.sequences, "the documents are those of the steps wanted")
    before = steps[:min(*FULL, *PACKED)]
    require(all(steps[number] in before for number in (*FULL, *PACKED)),
            "each step that counts has the lengths of one before those that count")
    require(all(len(sequence) == 1 for number in FULL for sequence in steps[number]) and
            all(sum(map(len, steps[number])) > 2 * shape.sequences for number in PACKED), "of the kind that it counts for")

    rows = [{"tokens": 100 if number in FULL else 50 if number in PACKED else 1, "seconds": 1, "samples": 1}
            for number in range(WANTED)]
    require(rates(rows)["tokens_per_second"] == 100 and rates(rows)["packed_tokens_per_second"] == 50,
            "no other steps count", rates(rows))


def packed_in_order(lengths, sequence_len):
    """The sequences that a job makes which does not shuffle: src/data/order.cpp."""
    sequences, room = [], 0
    for length in lengths:
        if length > room:
            sequences.append([])
            room = sequence_len
        sequences[-1].append(length)
        room -= length
    return sequences


def ratios_are_of_one_round():
    ours = [{"round": 1, "tokens_per_second": 10}, {"round": 2, "tokens_per_second": 30}]
    theirs = [{"round": 2, "tokens_per_second": 10}]  # the first one failed
    require(ratios_by_round(ours, theirs) == [3], "a ratio is that of two runs of one round")


def shapes_fit_into_80_gb():
    for mib in (81559, 79872):
        layers = {shape.name: shape.fitted(mib << 20).of("num_hidden_layers")
                  for shape in (LLAMA32_1B, QWEN25_3B, LLAMA31_8B, LLAMA31_8B_LORA, LLAMA31_8B_QLORA, SMOLLM2_135M)}
        require(layers == {"Llama-3.2-1B": 16, "Qwen2.5-3B": 36, "Llama-3.1-8B": 11, "Llama-3.1-8B, LoRA": 32,
                           "Llama-3.1-8B, QLoRA": 32, "SmolLM2-135M": 30},
                f"{mib} MiB hold the models whole, of the 8B one 11 layers without an adapter", layers)


train, [bench_kernels] = program()
no_counted_step_has_new_lengths()
ratios_are_of_one_round()
shapes_fit_into_80_gb()
with workspace() as place:
    check = GpuCheck(Path(train.train).resolve(), place, bench_kernels)
    a_run_that_goes_wrong_costs_that_run_alone(check)
    without_time_nothing_begins(check)
    a_failure_stops_no_other_stage(check)
    a_stage_that_hangs_is_ended(check)
    a_killed_run_leaves_what_it_has(check)
    every_stage_leaves_a_result(check)
    a_step_alone_has_no_targets(check)
