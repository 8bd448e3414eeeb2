"""output_dir.py TRAIN: two jobs on one output_dir, and places that are not writable."""
import os
import signal

from harness import OWN_CASES, Case, program, require, workspace
from watching import rank_processes, wait_for_step

train, _ = program()
case = Case(OWN_CASES / "llama")
with workspace() as place:
    folder = place / "shared"
    job = train.job(folder, {**case.settings(), "train.max_steps": 100000})
    first = train.start(1, [job])
    wait_for_step(first, folder, 2)
    output = train.finish(train.start(2, [job]), 2, "a second job on the same output_dir")
    told = [line for line in output.splitlines() if "error: " in line]
    require(len(told) == 1 and "output_dir" in told[0] and "another job" in told[0], "one message says why", output)

    for process in rank_processes(job):
        os.kill(process, signal.SIGKILL)
    first.communicate(timeout=60)
    train.run(folder, {**case.settings(), "train.max_steps": 3})
    require(True, "the lock died with its owner: the next job runs")

    blocked = place / "file"
    blocked.write_text("in the way")
    job = place / "blocked.ini"
    job.write_text(train.job(place / "template", case.settings()).read_text().replace(str(place / "template"),
                                                                                     str(blocked / "below")))
    output = train.finish(train.start(2, [job]), 2, "an output_dir that cannot be made")
    told = [line for line in output.splitlines() if "error: " in line]
    require(len(told) == 1 and "output_dir" in told[0], "one message names output_dir", output)

    for key in ("data.prepared_path", "log.trace", "checkpoint.export_dir"):
        settings = {**case.settings(), "checkpoint.export": "final", key: blocked / "below" / "it"}
        job = train.job(place / key, settings)
        output = train.finish(train.start(2, [job]), 2, f"a {key} that cannot be made")
        told = [line for line in output.splitlines() if "error: " in line]
        section, name = key.split(".")
        require(len(told) == 1 and f"[{section}] {name}" in told[0], f"one message names {key}", output)
        require(not (place / key / "checkpoints").exists(), "it says so before it trains", output)

    job = train.job(place / "over-base", {**case.settings(), "checkpoint.export": "final",
                                          "checkpoint.export_dir": case.folder / "model"})
    output = train.finish(train.start(2, [job]), 2, "an export over the model that the job starts from")
    told = [line for line in output.splitlines() if "error: " in line]
    require(len(told) == 1 and "[checkpoint] export_dir" in told[0], "one message names export_dir", output)

    (place / "tensorboard").mkdir()
    (place / "tensorboard/tensorboard").write_text("in the way")
    job = train.job(place / "tensorboard", {**case.settings(), "log.tensorboard": "true"})
    output = train.finish(train.start(2, [job]), 2, "a file where the event files go")
    told = [line for line in output.splitlines() if "error: " in line]
    require(len(told) == 1 and "[log] tensorboard" in told[0], "one message names the key", output)
