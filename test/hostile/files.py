"""files.py TRAIN: anything but a regular file in the place of every input: a pipe without a writer, a device, a directory,
a loop of links, and names that are too long."""
import json
import os
import shutil

from harness import OWN_CASES, ROOT, Case, program, workspace
from limits import refused

train, _ = program()
case = Case(OWN_CASES / "llama")
TOKENIZER = ROOT / "test" / "data" / "tokenizer" / "byte-level"


def clear(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


kinds = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a directory": os.mkdir,
    "a loop of links": lambda path: path.symlink_to(path.name),
}

with workspace() as place:
    data = place / "data/train.jsonl"
    data.parent.mkdir()
    model = place / "model"
    settings = {**case.settings(), "model.base": model, "dataset.reference.path": data, "train.max_steps": 1,
                "train.warmup_steps": 0}
    config = json.loads((case.folder / "model/config.json").read_text())
    text_settings = {**settings, "dataset.reference.type": "completion", "data.overlong": "split", "model.tokenizer": model}

    def fresh():
        """A model directory and a data file that are as they should be."""
        clear(model)
        clear(data)
        shutil.copytree(case.folder / "model", model)
        (model / "config.json").write_text(json.dumps({**config, "vocab_size": 2000}))
        shutil.copy(TOKENIZER / "tokenizer.json", model)
        shutil.copy(case.folder / "train.jsonl", data)

    jobs = 0

    def job_of(wanted):
        global jobs
        jobs += 1
        return train.job(place / f"job-{jobs}", wanted)

    fresh()
    of_directory = {**settings, "dataset.reference.path": data.parent}
    of_glob = {**settings, "dataset.reference.path": data.parent / "*.jsonl"}
    inputs = (  # what, its path, the job, the verb
        ("config.json", model / "config.json", settings, "preprocess"),
        ("model.safetensors", model / "model.safetensors", settings, "evaluate"),
        ("tokenizer.json", model / "tokenizer.json", text_settings, "preprocess"),
        ("tokenizer_config.json", model / "tokenizer_config.json", text_settings, "preprocess"),
        ("chat_template.jinja", model / "chat_template.jinja", text_settings, "preprocess"),
        ("generation_config.json", model / "generation_config.json", {**text_settings, "generate.prompt": "x"}, "generate"),
        ("a data file", data, settings, "preprocess"),
        ("a data file in a directory", data, of_directory, "preprocess"),
        ("a data file of a glob", data, of_glob, "preprocess"),
    )
    for what, path, wanted, verb in inputs:
        for kind, make in kinds.items():
            if kind == "a directory" and "of a glob" in what or kind == "a directory" and "in a directory" in what:
                continue  # a directory below one is looked through
            fresh()
            clear(path)
            make(path)
            # A path of the job that is a directory is looked into: then the job is wrong.  Evaluation data come last.
            wanted = {**wanted, "data.val_set_size": 1} if verb == "evaluate" else wanted
            refused(train, f"{kind} as {what}", [verb, job_of(wanted)], (2, 4), path.name if kind != "a directory" else str(path.parent))

    fresh()
    for kind, make in kinds.items():
        path = place / "hostile.ini"
        clear(path)
        make(path)
        refused(train, f"{kind} as the job file", ["preprocess", path], 2, "hostile.ini")
    for what, wanted, verb in (
            ("model.base", {**settings, "model.base": "/" + "m" * 5000}, "preprocess"),
            ("model.tokenizer", {**text_settings, "model.tokenizer": "/" + "t" * 5000}, "preprocess"),
            ("a data set's path", {**settings, "dataset.reference.path": "/" + "d" * 5000 + ".jsonl"}, "preprocess"),
            ("checkpoint.resume", {**settings, "checkpoint.resume": "/" + "c" * 5000}, "evaluate")):
        refused(train, f"5,000 characters as {what}", [verb, job_of({**wanted, "data.val_set_size": 1})], (2, 4),
                wanted[{"a data set's path": "dataset.reference.path"}.get(what, what)][1:100])
    refused(train, "5,000 characters as the job file", ["preprocess", "j" * 5000], 2, "jjjj")

    trained = train.job(place / "trained", {**settings, "model.base": case.folder / "model"})
    train.alone(trained)
    step = place / "trained/checkpoints/step-000001"
    for what, path in (("manifest.json", step / "manifest.json"), ("latest", step.parent / "latest"),
                       ("a shard", step / "shard-00000-of-00001.h5")):
        kept = place / "kept"
        shutil.move(path, kept)
        for kind, make in kinds.items():
            if kind == "a loop of links" and what == "manifest.json":
                continue  # without a manifest that is a file the directory is no checkpoint
            make(path)
            refused(train, f"{kind} as {what}", ["inspect", trained], (2, 4), str(path.parent))
            clear(path)
        shutil.move(kept, path)
    prepared = next((place / "trained/prepared").glob("*.h5"))
    prepared.unlink()
    for kind, make in kinds.items():
        make(prepared)
        refused(train, f"{kind} as the prepared file", ["preprocess", trained], 4, prepared.name)
        clear(prepared)
