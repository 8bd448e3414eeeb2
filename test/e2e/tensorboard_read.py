"""tensorboard_read.py TRAIN: TensorBoard's own reader finds in the event files what metrics.jsonl says.

Runs in build/venv, where scripts/setup.sh --venv puts tensorboard.
"""
from harness import OWN_CASES, Case, metrics, program, require, skip, steps, workspace

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as error:
    skip(f"{error}; scripts/setup.sh --venv installs it")

train, _ = program()
case = Case(OWN_CASES / "llama")
with workspace() as place:
    settings = {**case.settings(), "log.tensorboard": "true", "eval_dataset.first.path": case.folder / "train.jsonl",
                "eval_dataset.first.type": "tokenized", "eval_dataset.first.limit": 4}
    run = train.run(place / "run", settings, 2)
    events = next(run.rglob("*tfevents*")).parent
    reader = EventAccumulator(str(events))
    reader.Reload()
    tags = reader.Tags()["scalars"]
    for key, rows in (("loss", steps(run)), ("learning_rate", steps(run)), ("grad_norm", steps(run)),
                      ("eval_loss", [row for row in metrics(run) if "eval_loss" in row])):
        tag = [name for name in tags if name.split("/")[-1] == key]
        require(len(tag) == 1, f"one curve {key}", tags)
        read = [(event.step, event.value) for event in reader.Scalars(tag[0])]
        require([step for step, _ in read] == [row["step"] for row in rows], f"{key} has every step", read)
        require(all(abs(value - row[key]) <= 1e-6 * abs(row[key]) for (_, value), row in zip(read, rows)),
                f"{key} has the values of metrics.jsonl", read)
