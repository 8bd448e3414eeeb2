"""verbs.py TRAIN: the verbs that do not train answer for a reference case; the resolved job is a job."""
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from harness import OWN_CASES, ROOT, Case, curve, metrics, program, require, workspace

train, _ = program()
case = Case(OWN_CASES / "llama")
with workspace() as place:
    job = train.job(place / "run", case.settings())
    require("train" in train.alone("--help"), "--help answers")
    require(train.alone("--version").strip() != "", "--version answers")
    for verb in ("preprocess", "inspect"):
        require(train.alone(verb, job).strip() != "", f"train {verb} answers")
    told = train.alone("plan", job, "plan.ranks=8", "plan.ranks_per_host=2", "plan.flops=1e9", "plan.bandwidth=1e6")
    require(all(words in told for words in ("on 8 ranks, 2 per host", "memory per rank: ", "between hosts", "if they overlap")),
            "train plan speaks of memory, traffic and time", told)
    require("measured on this machine" in train.alone("plan", job), "without plan.flops it measures this machine")
    told = train.alone("plan", job, "plan.ranks=3", "plan.ranks_per_host=2", expect=2)
    require("[plan] ranks: 3 is not a multiple of ranks_per_host = 2" in told, "ranks that do not fill hosts are refused", told)
    run = train.run(place / "run", case.settings(), 2)
    again = place / "again"
    train.finish(train.start(2, [run / "job.resolved.ini", f"job.output_dir={again}", f"data.prepared_path={again}/prepared",
                                 f"checkpoint.export_dir={again}/final"]), 0, "the resolved job")
    require(curve(again) == curve(run), "the resolved job gives the same run")
    every = train.run(place / "every", {**case.settings(), "checkpoint.save_steps": 2, "checkpoint.export": "every",
                                        "checkpoint.save_total_limit": 1}, 3)
    require(curve(every) == curve(train.run(place / "never", case.settings(), 3)),
            "exporting with every checkpoint leaves the curve as it is")
    require((every / "final/model.safetensors").exists(), "and a Hugging Face directory at the end")
    exported = place / "exported"
    train.alone("export", job, f"checkpoint.export_dir={exported}")
    require((exported / "config.json").exists() and (exported / "model.safetensors").exists(),
            "train export writes a Hugging Face directory from the checkpoint")
    again = train.alone("preprocess", job, f"model.base={exported}", f"checkpoint.export_dir={exported}")
    require("samples" in again, "a verb that exports nothing takes an exported model as its base", again)

    untrained = {**case.settings(), "model.init": "random", "eval_dataset.first.path": case.folder / "train.jsonl",
                 "eval_dataset.first.type": "tokenized"}
    run = train.run(place / "random", {**untrained, "train.max_steps": 1, "train.warmup_steps": 0})
    first = next(row["eval_loss"] for row in metrics(run) if "eval_loss" in row)
    alone = train.alone("evaluate", train.job(place / "random-alone", untrained))
    require(f"evaluation loss {first:.6f}" in alone, "train evaluate takes random weights where model.init asks for them", alone)
    told = train.alone("generate", train.job(place / "random-alone", {
        **untrained, "model.tokenizer": ROOT / "test/data/tokenizer/byte-level"}), "generate.prompt=x", expect=2)
    require("[model] init" in told, "train generate refuses random weights", told)

    short = shutil.copytree(case.folder / "model", place / "short")
    config = json.loads((short / "config.json").read_text())
    (short / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 8}))
    told = train.finish(train.start(1, [train.job(place / "long", {**case.settings(), "model.base": short})]), 0, "long samples")
    require("the model has 8 positions" in told, "samples longer than the model's positions give a warning", told)

    def reading(**variables):
        """A process that reads texts, and has begun to: a pipe alone does not take this much."""
        environment = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
        process = subprocess.Popen([train.train, "tokenize", ROOT / "test/data/tokenizer/byte-level"], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, text=True, env={**environment, **variables})
        process.stdin.write('"a text"\n' * 100000)
        return process

    for variables, sleep in (({}, True), ({"OMP_WAIT_POLICY": "active"}, False)):
        with reading(**variables) as process:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        require(process.returncode == 0 and (b"GOMP_SPINCOUNT=1000" in environment) == sleep,
                f"OpenMP's waiting threads {'sleep soon' if sleep else 'do as the environment says'}", environment)

    waiting = reading()
    waiting.send_signal(signal.SIGTERM)
    require(waiting.wait(timeout=60) == -signal.SIGTERM, "a signal ends a verb that has no state to save")
