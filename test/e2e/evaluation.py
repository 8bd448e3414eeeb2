"""evaluation.py TRAIN: the evaluation before the first step, the verb evaluate and the reference agree on the loss."""
import re

from harness import OWN_CASES, Case, metrics, program, require, workspace

train, _ = program()
with workspace() as place:
    for name in ("llama", "qwen3"):
        case = Case(OWN_CASES / name)
        settings = {**case.settings(), "train.max_steps": 2, "eval_dataset.first.path": case.folder / "train.jsonl",
                    "train.warmup_steps": None, "eval_dataset.first.type": "tokenized", "eval_dataset.first.limit": 4}
        want = case.expected["eval_loss"]
        for ranks in (1, 3):
            run = train.run(place / f"{name}-{ranks}", settings, ranks)
            rows = [row for row in metrics(run) if "eval_loss" in row]
            require(abs(rows[0]["eval_loss"] - want) < 5e-5 * want, f"{name}: eval_loss of the base on {ranks} ranks", rows)
            require(rows[0]["step"] == 0 and rows[-1]["step"] == 2, f"{name}: evaluated before the first, after the last", rows)
        job = train.job(place / f"{name}-verb", settings)
        output = train.alone("evaluate", job)
        numbers = [float(word) for word in re.findall(r"\d+\.\d+", output)]
        require(any(abs(number - want) < 1e-3 for number in numbers), f"{name}: train evaluate prints {want:.3f}", output)
