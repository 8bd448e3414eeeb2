"""The stage that trains: ./train and PyTorch (peer.py) take the same shapes in turns, tokens/s, C-MFU, memory, packing.

A run is a process of its own, so that each has the whole GPU.  Nothing is saved: ./train is ended from outside once its
metrics.jsonl has the steps wanted.  A job alternates between stretches of full-length documents and of packed short ones; the
first steps of a stretch are left out, because cuDNN meets new lengths there.
"""
import json
import os
import re
import statistics
import sys
import time
from itertools import islice

from .context import FAILED, PASSED, Result
from .documents import Documents
from .programs import END_TO_END, ROOT
from .shapes import SHAPES, shrunk
from .targets import MISSED, NOT_MEASURED, judge

sys.path.insert(0, str(END_TO_END))
from harness import write_job  # noqa: E402

WARM_UP = 3        # steps before anything is counted, of both programs
FULL, PACKED = 6, 5  # steps of a stretch, of which the first SETTLING are left out
SETTLING = 1
STRETCHES = 2      # of each kind
ROUNDS = 2         # of ./train and the peer, as far as the time goes
LONGEST_RUN = 130  # seconds; a run that hangs leaves the others their time
WITHOUT_COMPILER = re.compile(r"C compiler|InvalidCxxCompiler|Python\.h|cannot find -lcuda|TritonMissing", re.I)

class Training:
    """The runs of the stage and what they gave so far."""

    def __init__(self, context):
        self.context = context
        self.shapes = self._choose_shapes()
        self.runs = {shape.name: {"train": [], "peer": []} for shape in self.shapes}
        self.longest = {}  # (shape, side) -> seconds that its run took
        self.notes = [] if context.peer_python else ["PyTorch with transformers is not there, so nothing was compared"]
        self.peer_compiles = not context.rehearse

    def _choose_shapes(self):
        if self.context.rehearse:
            return [shrunk(shape) for shape in SHAPES]
        fitted = (shape.fitted(self.context.machine.gpu.get("memory_bytes", 0)) for shape in SHAPES)
        return [shape for shape in fitted if shape]

    def all_rounds(self, publish):
        """Round after round, the order within a pair turned about each time; publish() after each run."""
        for number in range(1 if self.context.rehearse else ROUNDS):
            sides = ["train", "peer"] if number % 2 == 0 else ["peer", "train"]
            for shape in self.shapes:
                for side in sides:
                    self._one_run(shape, side, number)
                    publish()

    def _one_run(self, shape, side, number):
        if side == "peer" and not self.context.peer_python:
            return
        needed = self.longest.get((shape.name, side), 15)
        if self.context.left() < needed:
            self.notes.append(f"{shape.name}, {side}, round {number + 1}: left out, the time was over")
            return
        begin = time.monotonic()
        found = (self._train if side == "train" else self._peer)(shape, f"training/{shape.name} {side} {number + 1}")
        self.longest[shape.name, side] = time.monotonic() - begin
        self.runs[shape.name][side].append(found)

    # ---- ./train ----

    def _train(self, shape, name):
        folder = self.context.work / name.replace(" ", "-")
        wanted = WARM_UP + STRETCHES * (FULL + PACKED)
        job = self._job(shape, folder, wanted)
        finished = self.context.run(name, [self.context.programs.mpirun, "-n", 1, self.context.programs.train, job], LONGEST_RUN,
                                    until=lambda: len(_step_lines(folder)) >= wanted)
        steps = [json.loads(line) for line in _step_lines(folder)][:wanted]
        if len(steps) < wanted:
            return {"error": f"{len(steps)} of {wanted} steps: " + ("out of time" if finished.timed_out else f"status {finished.status}"),
                    "output": finished.output[-1500:]}
        plan = re.search(r"memory a rank: (\d+) MB.*", finished.output)
        return {**_rates(steps), "peak_bytes": max(row["peak_device_bytes"] for row in steps), "loss": [row["loss"] for row in steps],
                "mfu_told": steps[WARM_UP]["mfu"], "plan": plan and plan[0], "plan_bytes": plan and int(plan[1]) * 10**6,
                "seconds": finished.seconds}

    def _job(self, shape, folder, wanted):
        documents = Documents(shape.of("vocab_size"), shape.sequence_len)
        lengths = documents.full(WARM_UP * shape.sequences)
        for _ in range(STRETCHES):
            lengths += documents.full(FULL * shape.sequences) + documents.packed(PACKED * shape.sequences)
        folder.mkdir(parents=True, exist_ok=True)
        write_job(folder / "job.ini", {
            "job.output_dir": folder, "model.base": shape.write(folder / "model"), "model.init": "random", "model.precision": "bf16",
            "model.gradient_checkpointing": shape.checkpointing, "data.sequence_len": shape.sequence_len,
            "data.shuffle": "false", "dataset.random.path": documents.write(folder / "rows.jsonl", lengths),
            "dataset.random.type": "tokenized", "train.micro_batch_size": shape.micro_batch,
            "train.gradient_accumulation_steps": shape.accumulation, "train.learning_rate": "1e-5", "train.lr_scheduler": "constant",
            "train.max_steps": wanted + 1000,  # it is ended long before, so that it never saves
            "checkpoint.export": "never", "checkpoint.resume": "never", "log.tensorboard": "false", **self.context.device})
        return folder / "job.ini"

    # ---- the peer ----

    def _peer(self, shape, name):
        found = self._peer_once(shape, name)
        if self.peer_compiles and WITHOUT_COMPILER.search(found.get("output", "")):
            self.peer_compiles = False
            self.notes.append("PyTorch ran without torch.compile: it found no C compiler here, so the ratios are not those asked for")
            found = self._peer_once(shape, f"{name} eager")
        return found

    def _peer_once(self, shape, name):
        folder = self.context.work / name.replace(" ", "-")
        documents = Documents(shape.of("vocab_size"), shape.sequence_len)
        folder.mkdir(parents=True, exist_ok=True)
        rows = documents.write(folder / "rows.jsonl", documents.full(4 * shape.sequences))
        command = [self.context.peer_python, ROOT / "scripts/gpu_check/peer.py", shape.write(folder / "model"), rows,
                   "--sequence-len", shape.sequence_len, "--micro-batch", shape.micro_batch, "--accumulation", shape.accumulation,
                   "--warm-up", WARM_UP, "--steps", FULL, "--device", "cpu" if self.context.rehearse else "cuda",
                   "--compile", "layers" if self.peer_compiles else "none"]
        finished = self.context.run(name, command, LONGEST_RUN, self._peer_variables())
        if finished.status != 0:
            return {"error": "out of time" if finished.timed_out else f"status {finished.status}", "output": finished.output[-1500:]}
        told = json.loads(finished.output.strip().splitlines()[-1])
        return {**told, "tokens_per_second": told["tokens"] / statistics.median(told["seconds"]), "compiled": self.peer_compiles}

    def _peer_variables(self):
        """PyTorch finds its own libraries; what it compiles is kept for the next round."""
        variables = self.context.variables(TORCHINDUCTOR_CACHE_DIR=str(self.context.work / "inductor"),
                                           TRITON_CACHE_DIR=str(self.context.work / "triton"))
        del variables["LD_LIBRARY_PATH"]
        return {**variables, **{key: os.environ[key] for key in ("LD_LIBRARY_PATH",) if key in os.environ}}

    # ---- what they gave ----

    def measured(self):
        return {shape.name: self._of_shape(shape) for shape in self.shapes}

    def _of_shape(self, shape):
        sides = {side: [run for run in runs if "error" not in run] for side, runs in self.runs[shape.name].items()}
        found = {"config": shape.config, "weights": shape.weights, "note": shape.note, "sequence_len": shape.sequence_len,
                 "micro_batch": shape.micro_batch, "accumulation": shape.accumulation, "gradient_checkpointing": shape.checkpointing,
                 "runs": self.runs[shape.name],
                 "errors": [f"{side}: {run['error']}" for side, runs in self.runs[shape.name].items() for run in runs if "error" in run]}
        if sides["train"]:
            found |= self._of_train(shape, sides["train"])
        if sides["peer"]:
            rate = _median(sides["peer"], "tokens_per_second")
            found["peer"] = {"tokens_per_second": rate, "c_mfu": self._c_mfu(shape, rate), "peak_bytes": _most(sides["peer"], "peak_bytes"),
                             "attention": sides["peer"][0]["attention"], "versions": sides["peer"][0]["versions"],
                             "compiled": sides["peer"][0]["compiled"]}
        pairs = list(zip(sides["train"], sides["peer"]))
        if pairs:
            found["ratios"] = [ours["tokens_per_second"] / theirs["tokens_per_second"] for ours, theirs in pairs]
            ratio = statistics.median(found["ratios"])
            found["ratio" if found["peer"]["compiled"] or self.context.rehearse else "ratio_to_eager"] = ratio
        return found

    def _of_train(self, shape, runs):
        full, packed, peak = _median(runs, "tokens_per_second"), _median(runs, "packed_tokens_per_second"), _most(runs, "peak_bytes")
        plan = runs[0]["plan_bytes"]
        return {"tokens_per_second": full, "c_mfu": self._c_mfu(shape, full), "packed_tokens_per_second": packed,
                "packed_ratio": packed / full, "documents_a_sequence": _median(runs, "documents_a_sequence"), "peak_bytes": peak,
                "plan_bytes": plan, "memory_ratio": peak / plan if plan else None}

    def _c_mfu(self, shape, rate):
        return None if self.context.rehearse else shape.c_mfu(rate)


def _step_lines(folder):
    """The lines of training steps that metrics.jsonl has whole."""
    try:
        lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [line for line in lines if '"grad_norm"' in line and line.endswith("\n")]


def _rates(steps):
    """Tokens per second of full-length and of packed documents: medians of the steps that count."""
    rows, full, packed = iter(steps[WARM_UP:]), [], []
    for _ in range(STRETCHES):
        full += list(islice(rows, FULL))[SETTLING:]
        packed += list(islice(rows, PACKED))[SETTLING:]
    return {"tokens_per_second": statistics.median(row["tokens"] / row["seconds"] for row in full),
            "packed_tokens_per_second": statistics.median(row["tokens"] / row["seconds"] for row in packed),
            "documents_a_sequence": sum(row["samples"] for row in packed) / sum(row["samples"] for row in full) * len(full) / len(packed),
            "step_seconds": {"full": [row["seconds"] for row in full], "packed": [row["seconds"] for row in packed]}}


def _median(runs, key):
    return statistics.median(run[key] for run in runs)


def _most(runs, key):
    return max(run[key] for run in runs)


def training(context, publish=lambda result: None):
    if not context.programs.train.exists():
        return Result("training", FAILED, summary=f"{context.programs.train} is not there; build it, or unpack the bundle whole")
    work = Training(context)
    if not work.shapes:
        return Result("training", FAILED, summary="no shape fits into this GPU's memory, or nvidia-smi did not tell it")
    work.all_rounds(lambda: publish(_result(work)))
    return _result(work)


def _result(work):
    context, measured = work.context, work.measured()
    targets = judge(measured, context)
    failed = [f"{name}: {error}" for name, found in measured.items() for error in found["errors"]]
    failed += [f"{row['claim']}: missed" for row in targets if row["verdict"] == MISSED]
    if context.peer_python:
        failed += [f"{row['claim']}: not measured" for row in targets if row["verdict"] == NOT_MEASURED]
    compared = "; ".join(f"{name} {found['tokens_per_second']:.0f} tokens/s" + (f", {found['ratio']:.2f} times PyTorch" if "ratio" in found else "")
                         for name, found in measured.items() if "tokens_per_second" in found)
    return Result("training", FAILED if failed else PASSED, summary="; ".join([*failed, *work.notes]) or compared,
                  details={"shapes": measured, "targets": targets, "notes": work.notes})
