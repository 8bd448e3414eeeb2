"""resume.py TRAIN: an interrupted run resumes bit for bit on the same ranks, and along the same curve on others."""
import os
import signal

from harness import OWN_CASES, Case, curve, program, require, require_reference, workspace
from watching import rank_processes, wait_for_step

STOPPED = 75
STEPS = 100  # long enough to be interrupted in the middle


def interrupt(train, folder, settings, ranks, number):
    """Runs (on) until some more steps are done and sends the signal to one rank alone."""
    job = train.job(folder, settings)
    before = len(curve(folder)) if (folder / "metrics.jsonl").exists() else 0
    process = train.start(ranks, [job])
    wait_for_step(process, folder, before + 7)
    os.kill(max(rank_processes(job)), number)
    train.finish(process, STOPPED, f"a run that gets {signal.Signals(number).name}")
    done = len(curve(folder))
    require(before + 7 <= done < STEPS, f"{signal.Signals(number).name} to one rank stops all of them, after {done} steps")


def bit_for_bit(train, place, case):
    settings = {**case.settings(), "train.max_steps": STEPS, "data.shuffle": "true", "checkpoint.export": "final",
                "checkpoint.export_dtype": "fp32", "checkpoint.save_steps": 40}
    whole = train.run(place / "whole", settings, 2)
    parts = place / "parts"
    interrupt(train, parts, settings, 2, signal.SIGUSR1)
    interrupt(train, parts, settings, 2, signal.SIGTERM)
    train.run(parts, settings, 2)
    require(curve(parts) == curve(whole), "twice interrupted and resumed, every loss and gradient norm has the same bits")
    require((parts / "final/model.safetensors").read_bytes() == (whole / "final/model.safetensors").read_bytes(),
            "the final weights have the same bits")


def other_ranks(train, place, case):
    """Half of the reference curve on some ranks, the other half on others."""
    settings = {**case.settings(), "checkpoint.save_steps": 6}
    for before, after in ((2, 1), (2, 3), (3, 4)):
        first = place / f"first-{before}"
        if not first.exists():
            train.run(first, settings, before)
        second = train.run(place / f"second-{before}-{after}",
                           {**settings, "checkpoint.resume": first / "checkpoints/step-000006"}, after)
        require_reference(case, second, f"{before} ranks, then {after} from step 7 on: the same curve", first=7)


def nothing_left(train, place, case):
    """The checkpoint of another job that has all the steps already is exported; what the job changes is told."""
    settings = {**case.settings(), "checkpoint.export": "final"}
    whole = train.run(place / "finished", settings, 2)
    steps = case.job["max_steps"]
    job = train.job(place / "exports-it", {**settings, "train.weight_decay": 0.25,
                                           "checkpoint.resume": whole / f"checkpoints/step-{steps:06d}"})
    output = train.finish(train.start(2, [job]), 0, "a job whose checkpoint has all its steps")
    require((place / "exports-it/final/model.safetensors").read_bytes() == (whole / "final/model.safetensors").read_bytes(),
            "the checkpoint that it was resumed from is exported")
    told = [line for line in output.splitlines() if "warning: " in line]
    require(len(told) == 1 and "[train] weight_decay" in told[0] and told[0].count("now") == 1,
            "the setting that is another one is told", output)


def other_samples(train, place, case):
    """Data files that say something else under the same name are told, files that say the same are not."""
    data, folder = place / "data.jsonl", place / "other-samples"
    lines = (case.folder / "train.jsonl").read_text().splitlines(keepends=True)
    settings = {**case.settings(), "dataset.reference.path": data, "train.max_steps": 2}
    data.write_text("".join(lines))
    train.run(folder, settings, 1)
    for steps, content, told in ((3, lines, False), (4, lines[:-1], True)):
        data.write_text("".join(content))
        job = train.job(folder, {**settings, "train.max_steps": steps})
        output = train.finish(train.start(1, [job]), 0, "a job that goes on")
        require(("the samples (data files" in output) == told,
                f"samples that are {'others' if told else 'the same'} are {'told' if told else 'not told'}", output)


def main():
    train, _ = program()
    case = Case(OWN_CASES / "qwen2")
    with workspace() as place:
        bit_for_bit(train, place, case)
        other_ranks(train, place, case)
        nothing_left(train, place, case)
        other_samples(train, place, case)


main()
