"""wrong_data.py TRAIN: unusable samples, and usable samples that give a warning."""
import json

from harness import OWN_CASES, ROOT, Case, program, require, steps, workspace

train, _ = program()
case = Case(OWN_CASES / "llama")
TOKENIZER = ROOT / "test" / "data" / "tokenizer" / "byte-level"  # of more tokens than the case's model
good = [json.loads(line) for line in (case.folder / "train.jsonl").open()]


def lines(*samples):
    return "".join((sample if isinstance(sample, str) else json.dumps(sample)) + "\n" for sample in samples)


faults = {
    "a broken JSON line": (lines(good[0], '{"input_ids": [1, 2', good[1]), "data.jsonl:2"),
    "a token id out of range": (lines(good[0], good[1], {"input_ids": [1, 100000, 3]}), "data.jsonl:3"),
    "a negative token id": (lines({"input_ids": [1, -7, 3]}), "data.jsonl:1"),
    "labels of another length": (lines(good[0], {"input_ids": [1, 2, 3], "labels": [1, 2]}), "data.jsonl:2"),
    "a sample without ids": (lines({"text": "no ids"}), "data.jsonl:1"),
    "an empty data set": ("", "data.jsonl"),
}

with workspace() as place:
    for number, (what, (text, named)) in enumerate(faults.items()):
        folder = place / f"fault-{number}"
        folder.mkdir()
        (folder / "data.jsonl").write_text(text)
        ranks = 1 + number % 3
        job = train.job(folder, {**case.settings(), "dataset.reference.path": folder / "data.jsonl"})
        output = train.finish(train.start(ranks, [job]), 4, what)
        told = [line for line in output.splitlines() if "error: " in line]
        require(len(told) == 1 and named in told[0], f"{what}, {ranks} ranks: one message names {named}", output)

    folder = place / "vocabulary"
    folder.mkdir()
    (folder / "data.txt").write_text("a text")
    job = train.job(folder, {**case.settings(), "dataset.reference.path": folder / "data.txt", "data.overlong": "split",
                             "dataset.reference.type": "completion", "model.tokenizer": TOKENIZER})
    output = train.finish(train.start(2, [job]), 4, "a tokenizer with more tokens than the model")
    told = [line for line in output.splitlines() if "error: " in line]
    require(len(told) == 1 and str(TOKENIZER) in told[0] and "tokens" in told[0], "one message names the tokenizer", output)

    folder = place / "unsupervised"
    folder.mkdir()
    silent = {"input_ids": good[0]["input_ids"], "labels": [-100] * len(good[0]["input_ids"])}
    (folder / "data.jsonl").write_text(lines(good[0], silent, good[1], silent))
    settings = {**case.settings(), "dataset.reference.path": folder / "data.jsonl", "train.max_steps": 1,
                "train.warmup_steps": 0, "train.lr_scheduler": "linear", "train.global_batch_size": 4}
    job = train.job(folder, settings)
    output = train.finish(train.start(2, [job]), 0, "samples without a supervised token")
    told = [line for line in output.splitlines() if "warning: " in line]
    require(any("2 samples without a supervised token" in line for line in told), "they are counted in a warning", output)
    require(steps(folder)[0]["samples"] == 4, "they are kept", output)

    folder = place / "without-loss"
    folder.mkdir()
    (folder / "silent.jsonl").write_text(lines(silent, silent))
    (folder / "data.jsonl").write_text(lines(silent, good[0], good[1]))
    one_set = {**settings, "dataset.reference.path": folder / "silent.jsonl"}
    two_sets = {**settings, "dataset.silent.path": folder / "silent.jsonl", "dataset.silent.type": "tokenized"}
    silent_evaluation = {**settings, "eval_dataset.silent.path": folder / "silent.jsonl", "eval_dataset.silent.type": "tokenized"}
    short_evaluation = {**silent_evaluation, "eval_dataset.silent.path": folder / "data.jsonl", "eval.max_samples": 1}
    short_training = {**settings, "dataset.reference.path": folder / "data.jsonl", "train.global_batch_size": 1}
    for number, (what, job_settings, verb, named) in enumerate((
            ("the only data set", one_set, "run", "[dataset.reference]"),
            ("the only data set", one_set, "preprocess", "[dataset.reference]"),
            ("one of two data sets", two_sets, "run", "[dataset.silent]"),
            ("an evaluation set", silent_evaluation, "run", "[eval_dataset.silent]"),
            ("an evaluation set", silent_evaluation, "evaluate", "[eval_dataset.silent]"),
            ("what max_samples leaves of an evaluation set", short_evaluation, "run", "[eval_dataset.silent]"),
            ("what max_samples leaves of an evaluation set", short_evaluation, "evaluate", "[eval_dataset.silent]"),
            ("all that the job's only step takes", short_training, "run", "[dataset.reference]"))):
        folder = place / f"without-loss-{number}"
        output = train.finish(train.start(2, [verb, train.job(folder, job_settings)]), 4, f"{verb}: no loss in {what}")
        told = [line for line in output.splitlines() if "error: " in line]
        require(len(told) == 1 and named in told[0] and "loss" in told[0], f"{verb}: no loss in {what}: it is named", output)
        require(not (folder / "metrics.jsonl").exists(), f"{verb}: no step was taken")

    folder = place / "chat"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**json.loads((case.folder / "model/config.json").read_text()), "vocab_size": 1000}))
    (folder / "data.jsonl").write_text(lines({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}))
    for template, end in (("chatml", "<|im_end|>"), ("llama2", "</s>")):
        job = train.job(folder / template, {**case.settings(), "model.base": folder, "dataset.reference.path": folder / "data.jsonl",
                                            "model.tokenizer": TOKENIZER.parent / "sentencepiece", "data.overlong": "split",
                                            "dataset.reference.type": "chat_template", "dataset.reference.chat_template": template})
        output = train.alone("preprocess", job)
        told = [line for line in output.splitlines() if "warning: " in line]
        require(told == [] if template == "llama2" else len(told) == 1 and end in told[0],
                f"{template}: a warning if its end of a turn is not a token of the tokenizer", output)
