"""tensorboard_read.py TRAIN: TensorBoard's own reader finds the values of metrics.jsonl in the event files.

Runs in build/venv, where scripts/setup.sh --venv puts tensorboard.
"""
from harness import OWN_CASES, Case, metrics, program, require, skip, steps, workspace

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as error:
    skip(f"{error}; scripts/setup.sh --venv installs it")


def require_same_as_metrics(run, what):
    reader = EventAccumulator(str(run / "tensorboard"))
    reader.Reload()
    evaluations = [row for row in metrics(run) if "eval_loss" in row]
    for tag, key, rows in (("train/loss", "loss", steps(run)), ("train/learning_rate", "learning_rate", steps(run)),
                           ("train/grad_norm", "grad_norm", steps(run)), ("eval/loss", "eval_loss", evaluations)):
        read = [(event.step, event.value) for event in reader.Scalars(tag)]
        require([step for step, _ in read] == [row["step"] for row in rows], f"{what}: {tag} has every step once", read)
        require(all(abs(value - row[key]) <= 1e-6 * abs(row[key]) for (_, value), row in zip(read, rows)),
                f"{what}: {tag} has the values of metrics.jsonl", read)


train, _ = program()
case = Case(OWN_CASES / "llama")
with workspace() as place:
    settings = {**case.settings(), "log.tensorboard": "true", "eval_dataset.first.path": case.folder / "train.jsonl",
                "eval_dataset.first.type": "tokenized", "eval_dataset.first.limit": 4, "eval.eval_steps": 3,
                "checkpoint.save_steps": 4}
    run = train.run(place / "run", settings, 2)
    require_same_as_metrics(run, "a whole run")
    # With another rate, so that what the first run said of these steps is told from what the second says.
    train.run(run, {**settings, "train.learning_rate": 2 * case.job["learning_rate"],
                    "checkpoint.resume": run / "checkpoints/step-000004"}, 2)
    require_same_as_metrics(run, "a run gone back to step 4")
    train.run(run, {**settings, "train.max_steps": 5, "checkpoint.resume": "never"}, 2)
    require_same_as_metrics(run, "a run begun anew")
