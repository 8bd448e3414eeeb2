"""The stage that trains: ./train and PyTorch (peer.py) take the same shapes in turns.

A run is a process of its own, so that each has the whole GPU.  Nothing is saved: ./train is ended from outside once its
metrics.jsonl has the steps wanted.  Its job alternates between stretches of documents that fill a sequence and of
packed short ones; the first steps of a stretch are left out, because cuDNN meets new lengths there.
"""
import json
import os
import re
import statistics
import time

from .context import FAILED, LOG_TAIL, PASSED, Result, missing
from .documents import Documents
from .programs import ROOT, write_job
from .shapes import SHAPES, shrunk
from .targets import MISSED, NOT_MEASURED, judge

WARM_UP = 3        # steps before anything is counted, of both programs
STRETCH = 4        # steps with documents of one kind, of which the first SETTLING are left out
SETTLING = 1
STRETCHES = 2      # of each kind
WANTED = WARM_UP + 2 * STRETCHES * STRETCH
PEER_STEPS = 6
ROUNDS = 2         # as far as the time goes
LONGEST_RUN = 130  # seconds: a run that hangs leaves the others their time
SHORTEST_RUN = 15  # seconds without which none is begun
WITHOUT_COMPILER = re.compile(r"C compiler|InvalidCxxCompiler|Python\.h|TritonMissing|cannot find -l", re.I)


class Training:
    """The runs of the stage, and what they gave so far."""

    def __init__(self, context):
        self.context = context
        self.shapes = choose_shapes(context)
        self.runs = {shape.name: {"train": [], "peer": []} for shape in self.shapes}
        self.notes = [] if context.peer_python else ["PyTorch with transformers is not there, so nothing was compared"]
        self.peer_compiles = not context.rehearse
        self._seconds = {}  # that the last run of a shape by a program took

    def run_rounds(self, publish):
        """The order of the two programs is turned about every round.  publish(): after each run."""
        for number in range(1, 2 if self.context.rehearse else ROUNDS + 1):
            for shape in self.shapes:
                for program in ("train", "peer") if number % 2 else ("peer", "train"):
                    if program == "train" or self.context.peer_python:
                        self._run(shape, program, number)
                        publish()

    def _run(self, shape, program, number):
        name = f"training/{shape.name} {program} {number}"
        if self.context.left() < self._seconds.get((shape.name, program), SHORTEST_RUN):
            self.notes.append(f"{shape.name}, {program}, round {number}: left out, the time was over")
            return
        begin = time.monotonic()
        self.runs[shape.name][program].append((self._train if program == "train" else self._peer)(shape, name))
        self._seconds[shape.name, program] = time.monotonic() - begin

    # ---- ./train ----

    def _train(self, shape, name):
        folder = self.context.work / name.replace(" ", "-")
        command = [self.context.programs.mpirun, "-n", 1, self.context.programs.train, self._write_job(shape, folder)]
        finished = self.context.run(name, command, LONGEST_RUN, until=lambda: len(read_steps(folder)) >= WANTED)
        steps = [json.loads(line) for line in read_steps(folder)[:WANTED]]
        if len(steps) < WANTED:
            return failure(finished, f"{len(steps)} of {WANTED} steps")
        plan = re.search(r"memory a rank: (\d+) MB.*", finished.output)
        return {**rates(steps), "peak_bytes": max(row["peak_device_bytes"] for row in steps),
                "plan": plan and plan[0], "plan_bytes": plan and int(plan[1]) * 10**6, "mfu_told": steps[WARM_UP]["mfu"],
                "loss": [row["loss"] for row in steps], "seconds": finished.seconds}

    def _write_job(self, shape, folder):
        folder.mkdir(parents=True)
        documents = Documents(shape.of("vocab_size"), shape.sequence_len)
        lengths = documents.full(WARM_UP * shape.sequences)
        for _ in range(STRETCHES):
            lengths += documents.full(STRETCH * shape.sequences) + documents.packed(STRETCH * shape.sequences)
        write_job(folder / "job.ini", {
            "job.output_dir": folder,
            "model.base": shape.write(folder / "model"),
            "model.init": "random",
            "model.precision": "bf16",
            "model.gradient_checkpointing": shape.checkpointing,
            "data.sequence_len": shape.sequence_len,
            "data.shuffle": "false",
            "dataset.random.path": documents.write(folder / "rows.jsonl", lengths),
            "dataset.random.type": "tokenized",
            "train.micro_batch_size": shape.micro_batch,
            "train.gradient_accumulation_steps": shape.accumulation,
            "train.learning_rate": "1e-5",
            "train.lr_scheduler": "constant",
            "train.max_steps": WANTED + 1000,  # it is ended long before, so that it never saves
            "checkpoint.export": "never",
            "checkpoint.resume": "never",
            "log.tensorboard": "false",
            **self.context.device})
        return folder / "job.ini"

    # ---- the peer ----

    def _peer(self, shape, name):
        found = self._peer_once(shape, name)
        if self.peer_compiles and found.get("without_compiler"):
            self.peer_compiles = False
            self.notes.append("PyTorch ran eagerly, because torch.compile found no C compiler here: "
                              "the ratios are not those that are asked for")
            found = self._peer_once(shape, f"{name} eager")
        return found

    def _peer_once(self, shape, name):
        folder = self.context.work / name.replace(" ", "-")
        folder.mkdir(parents=True)
        documents = Documents(shape.of("vocab_size"), shape.sequence_len)
        rows = documents.write(folder / "rows.jsonl", documents.full(4 * shape.sequences))
        options = {"sequence-len": shape.sequence_len, "micro-batch": shape.micro_batch, "warm-up": WARM_UP,
                   "accumulation": shape.accumulation, "steps": PEER_STEPS,
                   "device": "cpu" if self.context.rehearse else "cuda",
                   "compile": "layers" if self.peer_compiles else "none"}
        command = [self.context.peer_python, ROOT / "scripts/gpu_check/peer.py", shape.write(folder / "model"), rows,
                   *(word for option, value in options.items() for word in (f"--{option}", value)),
                   *(["--gradient-checkpointing"] if shape.checkpointing == "full" else [])]
        finished = self.context.run(name, command, LONGEST_RUN, self._peer_variables())
        if finished.status != 0:
            return {**failure(finished, "PyTorch"), "without_compiler": bool(WITHOUT_COMPILER.search(finished.output))}
        told = json.loads(finished.output.strip().splitlines()[-1])
        return {**told, "tokens_per_second": told["tokens"] / statistics.median(told["seconds"]),
                "compiled": self.peer_compiles}

    def _peer_variables(self):
        """PyTorch finds its own libraries; what it compiles is kept for the next round."""
        work = self.context.work
        variables = self.context.variables(TORCHINDUCTOR_CACHE_DIR=str(work / "inductor"),
                                           TRITON_CACHE_DIR=str(work / "triton"))
        del variables["LD_LIBRARY_PATH"]
        return {**variables, **{name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}}

    # ---- what they gave ----

    def measured(self):
        """By shape, what report.py and targets.py read."""
        return {shape.name: self._of_shape(shape) for shape in self.shapes}

    def _of_shape(self, shape):
        runs = self.runs[shape.name]
        ours, theirs = ([run for run in runs[program] if "error" not in run] for program in ("train", "peer"))
        found = {"config": shape.config, "weights": shape.weights, "note": shape.note, "runs": runs,
                 "sequence_len": shape.sequence_len, "micro_batch": shape.micro_batch,
                 "accumulation": shape.accumulation, "gradient_checkpointing": shape.checkpointing,
                 "errors": [f"{program}: {run['error']}" for program in runs for run in runs[program] if "error" in run]}
        if ours:
            found |= self._of_train(shape, ours)
        if theirs:
            found["peer"] = self._of_peer(shape, theirs)
        if ours and theirs:
            found["ratios"] = [a["tokens_per_second"] / b["tokens_per_second"] for a, b in zip(ours, theirs)]
            key = "ratio" if theirs[0]["compiled"] else "ratio_of_rehearsal" if self.context.rehearse else "ratio_to_eager"
            found[key] = statistics.median(found["ratios"])
        return found

    def _of_train(self, shape, runs):
        full, packed = median(runs, "tokens_per_second"), median(runs, "packed_tokens_per_second")
        peak, plan = max(run["peak_bytes"] for run in runs), runs[0]["plan_bytes"]
        return {"tokens_per_second": full, "c_mfu": self._c_mfu(shape, full), "peak_bytes": peak, "plan_bytes": plan,
                "memory_ratio": peak / plan if plan else None, "packed_tokens_per_second": packed,
                "packed_ratio": packed / full, "documents_a_sequence": median(runs, "documents_a_sequence")}

    def _of_peer(self, shape, runs):
        rate = median(runs, "tokens_per_second")
        return {"tokens_per_second": rate, "c_mfu": self._c_mfu(shape, rate),
                "peak_bytes": max(run["peak_bytes"] for run in runs),
                **{key: runs[0][key] for key in ("attention", "versions", "compiled")}}

    def _c_mfu(self, shape, rate):
        return None if self.context.rehearse else shape.c_mfu(rate)


def choose_shapes(context):
    if context.rehearse:
        return [shrunk(shape) for shape in SHAPES]
    fitted = (shape.fitted(context.machine.gpu.get("memory_bytes", 0)) for shape in SHAPES)
    return [shape for shape in fitted if shape]


def read_steps(folder):
    """The lines of training steps that metrics.jsonl has whole."""
    try:
        lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [line for line in lines if '"grad_norm"' in line and line.endswith("\n")]


def rates(steps):
    """Tokens per second with full-length and with packed documents: medians of the steps that count."""
    full, packed = [], []
    for begin in range(WARM_UP, WANTED, 2 * STRETCH):
        full += steps[begin + SETTLING:begin + STRETCH]
        packed += steps[begin + STRETCH + SETTLING:begin + 2 * STRETCH]
    per_second = [[row["tokens"] / row["seconds"] for row in rows] for rows in (full, packed)]
    return {"tokens_per_second": statistics.median(per_second[0]),
            "packed_tokens_per_second": statistics.median(per_second[1]), "each_step": per_second,
            "documents_a_sequence": sum(row["samples"] for row in packed) / sum(row["samples"] for row in full)}


def failure(finished, what):
    how = "out of time" if finished.timed_out else f"ended with status {finished.status}"
    return {"error": f"{what}: {how}", "output": finished.output[-LOG_TAIL:]}


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def training(context, publish):
    """publish(result): after every run, with what there is."""
    if not context.programs.train.exists():
        return missing("training", context.programs.train)
    work = Training(context)
    if not work.shapes:
        return Result("training", FAILED, summary="no shape fits into this GPU's memory")
    work.run_rounds(lambda: publish(result_of(work)))
    return result_of(work)


def result_of(work):
    measured = work.measured()
    targets = judge(measured, work.context)
    wrong = [f"{name}: {error}" for name, found in measured.items() for error in found["errors"]]
    failing = (MISSED, NOT_MEASURED) if work.context.peer_python else (MISSED,)
    wrong += [f"{row['claim']}: {row['verdict']}" for row in targets if row["verdict"] in failing]
    rows = [f"{name} {found['tokens_per_second']:.0f} tokens/s" +
            (f", {found['ratio']:.2f} times PyTorch" if "ratio" in found else "")
            for name, found in measured.items() if "tokens_per_second" in found]
    return Result("training", FAILED if wrong else PASSED, summary="; ".join([*wrong, *work.notes, *rows]),
                  details={"shapes": measured, "targets": targets, "notes": work.notes})
