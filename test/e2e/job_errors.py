"""job_errors.py TRAIN: a wrong job gives one message, with the exit status of its kind."""
from harness import OWN_CASES, Case, program, require, workspace

train, _ = program()
case = Case(OWN_CASES / "llama")
with workspace() as place:
    for ranks in (1, 3):
        job = train.job(place / f"wrong-key-{ranks}", {**case.settings(), "train.micro_batchsize": 1})
        output = train.finish(train.start(ranks, [job]), 2, "a job with a wrong key")
        told = [line for line in output.splitlines() if "micro_batchsize" in line]
        require(len(told) == 1 and "micro_batch_size" in told[0] and f"{job}:" in told[0],
                f"{ranks} ranks: one line names file, line, key and the nearest key", output)

    job = train.job(place / "no-data", {**case.settings(), "dataset.reference.path": place / "nothing.jsonl"})
    output = train.finish(train.start(2, [job]), 2, "a job whose data set is not there")
    require("nothing.jsonl" in output, "the missing data set is named", output)

    for key in ("model.base", "checkpoint.resume"):
        job = train.job(place / f"no-{key}", {**case.settings(), key: place / "nowhere"})
        output = train.finish(train.start(2, [job]), 2, f"a job whose {key} is not there")
        section, name = key.split(".")
        told = [line for line in output.splitlines() if "error: " in line]
        require(len(told) == 1 and f"[{section}] {name}" in told[0] and str(place / "nowhere") in told[0],
                f"{key}: one line names key and directory", output)

    broken = place / "broken.jsonl"
    broken.write_text((case.folder / "train.jsonl").read_text()[:2000] + "\n{not json\n")
    job = train.job(place / "broken", {**case.settings(), "dataset.reference.path": broken})
    output = train.finish(train.start(2, [job]), 4, "a data set with a broken line")
    require("broken.jsonl" in output, "the broken file is named", output)
