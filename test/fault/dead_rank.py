"""dead_rank.py TRAIN: a rank is killed during training; the job ends, and resumes from its last checkpoint."""
import os
import signal

from harness import OWN_CASES, Case, program, require, workspace
from watching import rank_processes, wait_for_step

train, _ = program()
case = Case(OWN_CASES / "llama")
with workspace() as place:
    folder = place / "job"
    settings = {**case.settings(), "train.max_steps": 100000, "checkpoint.save_steps": 5}
    job = train.job(folder, settings)
    process = train.start(3, [job])
    wait_for_step(process, folder, 12)
    os.kill(max(rank_processes(job)), signal.SIGKILL)
    process.communicate(timeout=120)
    require(process.returncode != 0, "mpirun reports the failure", process.returncode)
    require(not rank_processes(job), "no rank is left behind")
    latest = (folder / "checkpoints" / "latest").read_text().strip()
    require(int(latest[5:]) >= 5 and (folder / "checkpoints" / latest / "manifest.json").exists(),
            "a whole checkpoint is there", latest)
    stop = int(latest[5:]) + 3
    train.run(folder, {**settings, "train.max_steps": stop}, ranks=2)
    require((folder / "checkpoints" / "latest").read_text().strip() == f"step-{stop:06d}",
            "two ranks go on from it to the end")
