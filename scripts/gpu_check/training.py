"""The stage that trains: ./train and PyTorch (peer.py) take the same shapes in turns.

A run is a process of its own, so that each has the whole GPU.  Nothing is saved: ./train is ended from outside once its
metrics.jsonl has the steps wanted: some to warm up, a stretch of packed short documents, one of documents that fill a
sequence, and the packed ones again.  The last two stretches count.  They hold no length that is new, for which cuDNN
would build graphs, half a second each, within a step.
"""
import json
import os
import re
import statistics
import time

from . import kernel_times, roofline
from .context import FAILED, LOG_TAIL, PASSED, Result, missing, plain
from .documents import Documents, write_random_job
from .machine import memory_in_use
from .programs import ROOT
from .shapes import H100_FLOPS, LORA_R, choose_shapes
from .targets import LEFT_OUT, MISSED, NOT_MEASURED, is_judged, judge

WARM_UP = 3        # steps before anything is counted, of both programs
STRETCH = 5        # steps with documents of one kind
FULL = range(WARM_UP + STRETCH, WARM_UP + 2 * STRETCH)  # the steps that count, of documents that fill a sequence
PACKED = range(FULL.stop, FULL.stop + STRETCH)          # and of packed ones
WANTED = PACKED.stop
LOOKS = 3          # at the GPU's memory, in steps that count
PEER_STEPS = 6
ROUNDS = 2         # of the shapes that are judged; the others have one
LONGEST_RUN = 130  # seconds: a run that hangs leaves the others their time
# A guess at what a first run takes: seconds to start or to compile, and steps at this share of an H100's peak.
START = {"train": 15, "peer": 60}
GUESSED_MFU = 0.35
CACHED = 0.3       # of what compiling took, where the compiler finds its results in its cache (12 s after 34 s, on a CPU)
WITHOUT_COMPILER = re.compile(r"C compiler|InvalidCxxCompiler|Python\.h|TritonMissing|cannot find -l", re.I)
OUT_OF_MEMORY = re.compile(r"OutOfMemoryError|CUDA out of memory")


class Training:
    """The runs of the stage, and what they gave so far."""

    def __init__(self, context, shapes, rounds=ROUNDS, compare=True):
        self.context = context
        self.shapes = shapes
        self.rounds = rounds
        self.programs = ["train", "peer"] if compare and context.peer_python else ["train"]
        self.runs = {shape.name: {"train": [], "peer": []} for shape in self.shapes}
        self.left_out = set()  # names of shapes
        self.notes = ["PyTorch with transformers is not there, so nothing was compared"] \
            if compare and not context.peer_python else []
        self.peer_compiles = not context.rehearse
        self.peer_parameters = {shape.name: "bf16" if shape.adapter else "fp32" for shape in self.shapes}
        self._seconds = {}     # that another run of a shape by a program would take
        self._predicted = self._predictions()

    def run_all(self, publish):
        """The order of the two programs is turned about every round.  publish(): after each run."""
        programs = self.programs
        for shape, number in self._turns():
            if number > 1 and self.context.left() < sum(self._needed(shape, program) for program in programs):
                self.notes.append(f"{shape.name}, round {number}: {LEFT_OUT}")  # half a round has no ratio
                continue
            for program in programs if number % 2 else reversed(programs):
                if shape.name not in self.left_out:
                    self._run(shape, program, number)
                    publish()

    def _turns(self):
        """[(shape, round), …]: all rounds of the shapes that are judged, then the others."""
        judged = [shape for shape in self.shapes if is_judged(shape.name)]
        others = [shape for shape in self.shapes if not is_judged(shape.name)]
        return [(shape, number) for number in range(1, self.rounds + 1) for shape in judged] + [(shape, 1) for shape in others]

    def _run(self, shape, program, number):
        if self.context.left() < self._needed(shape, program):
            return self._leave_out(shape, program, number)
        begin = time.monotonic()
        try:
            found = self._train(shape, number) if program == "train" else self._peer(shape, number)
        except Exception as error:  # costs this run alone
            found = {"error": f"{type(error).__name__}: {error}"}
        if "error" in found and not self.context.left():
            return self._leave_out(shape, program, number)
        if program == "peer" and self._peer_can_do_with_less(shape, found):
            return self._run(shape, program, number)
        self._seconds[shape.name, program] = time.monotonic() - begin - (1 - CACHED) * found.get("compile_seconds", 0)
        self.runs[shape.name][program].append({**found, "round": number})

    def _needed(self, shape, program):
        """Seconds, as its last run took, or guessed on the high side."""
        steps = WANTED if program == "train" else WARM_UP + PEER_STEPS
        work = steps * shape.sequences * shape.sequence_len * shape.flops_per_token
        return self._seconds.get((shape.name, program), START[program] + work / (GUESSED_MFU * H100_FLOPS))

    def _leave_out(self, shape, program, number):
        whole = program == "train" and number == 1
        if whole:
            self.left_out.add(shape.name)
        self.notes.append(f"{shape.name}{'' if whole else f', {program}, round {number}'}: {LEFT_OUT}")

    # ---- ./train ----

    def _train(self, shape, number):
        name = plain(f"training/{shape.name} train {number}")
        folder, used = self.context.work / name, {}

        def has_steps():
            steps = len(read_steps(folder))
            if steps >= FULL.start and steps not in used and len(used) < LOOKS:
                used[steps] = memory_in_use()
            return steps >= WANTED

        lengths = lengths_of_steps(shape, Documents(shape.of("vocab_size"), shape.sequence_len))
        # It is ended long before the last step, so that it never saves.
        job = write_random_job(folder, shape, lengths, {**self.context.device, "train.max_steps": WANTED + 1000})
        command = [self.context.programs.mpirun, "-n", 1, self.context.programs.train, job]
        finished = self.context.run(name, command, LONGEST_RUN, until=has_steps)
        steps = [json.loads(line) for line in read_steps(folder)[:WANTED]]
        if len(steps) < WANTED:
            return failure(finished, f"{len(steps)} of {WANTED} steps")
        plan = re.search(r"memory per rank: (\d+) MB.*", finished.output)
        return {**rates(steps), "peak_bytes": max(row["peak_device_bytes"] for row in steps),
                "plan": plan and plan[0], "plan_bytes": plan and int(plan[1]) * 10**6,
                "memory_in_use": max(filter(None, used.values()), default=None), "mfu_told": steps[FULL[0]]["mfu"],
                "loss": [row["loss"] for row in steps], "seconds": finished.seconds}

    # ---- the peer ----

    def _peer(self, shape, number):
        parameters, compiler = self.peer_parameters[shape.name], "layers" if self.peer_compiles else "none"
        name = plain(f"training/{shape.name} peer {number} {parameters} {compiler}")
        folder = self.context.work / name
        folder.mkdir(parents=True)
        documents = Documents(shape.of("vocab_size"), shape.sequence_len)
        rows = documents.write(folder / "rows.jsonl", documents.full(4 * shape.sequences))
        options = {"sequence-len": shape.sequence_len, "micro-batch": shape.micro_batch, "warm-up": WARM_UP,
                   "accumulation": shape.accumulation, "steps": PEER_STEPS, "parameters": parameters,
                   "device": "cpu" if self.context.rehearse else "cuda", "compile": compiler}
        command = [self.context.peer_python, ROOT / "scripts/gpu_check/peer.py", shape.write(folder / "model"), rows,
                   *(word for option, value in options.items() for word in (f"--{option}", value)),
                   *(["--gradient-checkpointing"] if shape.checkpointing == "full" else []),
                   *(["--adapter", shape.adapter, "--lora-r", LORA_R] if shape.adapter else [])]
        finished = self.context.run(name, command, LONGEST_RUN, self._peer_variables())
        told = last_json(finished.output)
        if finished.status != 0 or told is None:
            return {**failure(finished, "PyTorch"), "without_compiler": bool(WITHOUT_COMPILER.search(finished.output)),
                    "out_of_memory": bool(OUT_OF_MEMORY.search(finished.output))}
        a_step = statistics.median(told["seconds"])
        return {**told, "tokens_per_second": told["tokens"] / a_step, "compiled": self.peer_compiles,
                "parameters": parameters, "compile_seconds": max(0, sum(told["warm_up_seconds"]) - WARM_UP * a_step)}

    def _peer_can_do_with_less(self, shape, found):
        """Whether a run failed for want of something that another run can do without."""
        if self.peer_compiles and found.get("without_compiler"):
            self.peer_compiles = False
            self.notes.append("PyTorch ran eagerly, because torch.compile found no C compiler here: "
                              "the ratios are not those that are asked for")
            return True
        if self.peer_parameters[shape.name] == "fp32" and found.get("out_of_memory"):
            self.peer_parameters[shape.name] = "bf16"
            self.notes.append(f"{shape.name}: PyTorch's weights, gradients and moments were bf16, because with fp32 ones it "
                              "ran out of memory")
            return True
        return False

    def _peer_variables(self):
        """PyTorch finds its own libraries; what it compiles is kept for the next round."""
        work = self.context.work
        variables = self.context.variables(TORCHINDUCTOR_CACHE_DIR=str(work / "inductor"),
                                           TRITON_CACHE_DIR=str(work / "triton"))
        del variables["LD_LIBRARY_PATH"]
        return {**variables, **{name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}}

    # ---- what the roofline model says ----

    def _predictions(self):
        """{name of a shape: its update by the model}, of those that bench_kernels can count: not with adapters."""
        ceilings = kernel_times.ceilings(self.context)
        if ceilings is None:
            self.notes.append("what the device can do was not measured, so no step was predicted")
            return {}
        whole = [shape for shape in self.shapes if not shape.adapter]
        counted = {shape.name: kernel_times.counted(self.context, shape) for shape in whole}
        predicted = {shape.name: counted[shape.name] and roofline.predict(shape, counted[shape.name], ceilings)
                     for shape in whole}
        return {name: update for name, update in predicted.items() if update}

    def _against_model(self, shape, rate):
        measured = self.context.measured
        alone = measured and roofline.by_kernels(shape, measured)
        found = roofline.update_against_model(shape, self._predicted[shape.name], alone, rate)
        return {**found, "predicted_c_mfu": self._c_mfu(shape, found["predicted_tokens_per_second"])}

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
                 "left_out": shape.name in self.left_out,
                 "errors": [f"{program}: {run['error']}" for program in runs for run in runs[program] if "error" in run]}
        if ours:
            found |= self._of_train(shape, ours)
            if shape.name in self._predicted:
                found["model"] = self._against_model(shape, found["tokens_per_second"])
        if theirs:
            found["peer"] = self._of_peer(shape, theirs)
        ratios = ratios_by_round(ours, theirs)
        if ratios:
            found["ratios"] = ratios
            key = "ratio" if theirs[0]["compiled"] else "ratio_of_rehearsal" if self.context.rehearse else "ratio_to_eager"
            found[key] = statistics.median(ratios)
        return found

    def _of_train(self, shape, runs):
        full, packed = median(runs, "tokens_per_second"), median(runs, "packed_tokens_per_second")
        peak, plan = max(run["peak_bytes"] for run in runs), runs[0]["plan_bytes"]
        return {"tokens_per_second": full, "c_mfu": self._c_mfu(shape, full), "peak_bytes": peak, "plan_bytes": plan,
                "memory_ratio": peak / plan if plan else None,
                "memory_in_use": max((run["memory_in_use"] for run in runs if run["memory_in_use"]), default=None),
                "packed_tokens_per_second": packed, "packed_ratio": packed / full,
                "documents_a_sequence": median(runs, "documents_a_sequence")}

    def _of_peer(self, shape, runs):
        rate = median(runs, "tokens_per_second")
        return {"tokens_per_second": rate, "c_mfu": self._c_mfu(shape, rate),
                "peak_bytes": max(run["peak_bytes"] for run in runs),
                **{key: runs[0][key] for key in ("attention", "versions", "compiled")},
                "parameters": ", ".join(sorted({run["parameters"] for run in runs}))}

    def _c_mfu(self, shape, rate):
        return None if self.context.rehearse else shape.c_mfu(rate)


def read_steps(folder):
    """The lines of training steps that metrics.jsonl has whole."""
    try:
        lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [line for line in lines if '"grad_norm"' in line and line.endswith("\n")]


def lengths_of_steps(shape, documents):
    """Of the documents of all steps, in order.  What is packed is drawn once."""
    full, packed = documents.full(STRETCH * shape.sequences), documents.packed(STRETCH * shape.sequences)
    return [*documents.full(WARM_UP * shape.sequences), *packed, *full, *packed]


def rates(steps):
    """Tokens per second with full-length and with packed documents: medians of the steps that count."""
    full, packed = ([steps[number] for number in counted] for counted in (FULL, PACKED))
    per_second = [[row["tokens"] / row["seconds"] for row in rows] for rows in (full, packed)]
    return {"tokens_per_second": statistics.median(per_second[0]),
            "packed_tokens_per_second": statistics.median(per_second[1]), "each_step": per_second,
            "documents_a_sequence": sum(row["samples"] for row in packed) / sum(row["samples"] for row in full)}


def ratios_by_round(ours, theirs):
    """Of the rounds that both have."""
    by_round = {run["round"]: run["tokens_per_second"] for run in theirs}
    return [run["tokens_per_second"] / by_round[run["round"]] for run in ours if run["round"] in by_round]


def last_json(output):
    """What a program told as its last line of JSON, whatever its libraries printed; None where there is no such line."""
    lines = [line for line in output.splitlines() if line.startswith('{"')]
    return json.loads(lines[-1]) if lines else None


def failure(finished, what):
    how = "out of time" if finished.timed_out else f"ended with status {finished.status}"
    return {"error": f"{what}: {how}", "output": finished.output[-LOG_TAIL:]}


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def training(context, publish):
    """publish(result): after every run, with what there is."""
    return _train("training", context, publish, choose_shapes(context), result_of)


def step(context, publish):
    """The step of one model, of the size that the kernels are timed with, for what the roofline model says of it."""
    return _train("step", context, publish, choose_shapes(context)[:1], result_of_step, rounds=1, compare=False)


def _train(name, context, publish, shapes, result, **how):
    if not context.programs.train.exists():
        return missing(name, context.programs.train)
    if not shapes:
        return Result(name, FAILED, summary="no shape fits into this GPU's memory")
    work = Training(context, shapes, **how)
    work.run_all(lambda: publish(result(work)))
    return result(work)


def result_of(work):
    measured = work.measured()
    targets = judge(measured, work.context)
    failing = (MISSED, NOT_MEASURED) if work.context.peer_python else (MISSED,)
    wrong = [f"{row['claim']}: {row['verdict']}" for row in targets if row["verdict"] in failing]
    return _told("training", work, measured, wrong, {"targets": targets})


def result_of_step(work):
    return _told("step", work, work.measured(), [], {})


def _told(name, work, measured, wrong, more):
    errors = [f"{shape}: {error}" for shape, found in measured.items() for error in found["errors"]]
    late = work.left_out == set(measured) or any(map(is_judged, work.left_out))
    wrong = [*errors, *wrong, *(["too little time"] if late else [])]
    rows = [f"{shape} {found['tokens_per_second']:.0f} tokens/s" +
            (f", {found['model']['measured_over_predicted']:.2f} times as long as predicted" if "model" in found else "") +
            (f", {found['ratio']:.2f} times PyTorch" if "ratio" in found else "")
            for shape, found in measured.items() if "tokens_per_second" in found]
    return Result(name, FAILED if wrong else PASSED, summary="; ".join([*wrong, *work.notes, *rows]),
                  details={"shapes": measured, "notes": work.notes, **more})
