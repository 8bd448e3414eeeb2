"""slurm_rankless.py [TRAIN]: scripts/slurm.sbatch ends an mpirun without ranks, and no other.

mpirun, ps, sleep and scontrol are stand-ins here: a look at the ranks is an answer of ps, and sleeping takes no time.
"""
import os
import signal
import subprocess
from pathlib import Path

from harness import ROOT, fail, require, workspace

RANK, ZOMBIE, NONE = "Sl   train", "Z    train", "S    orted"


def script(folder, name, text):
    (folder / name).write_text(f"#!/bin/bash\n{text}\n")
    (folder / name).chmod(0o755)


def start(place, looks, mpirun):
    """The batch script, to which ps gives one of `looks` after the other and then the last one for ever."""
    place.mkdir()
    (place / "looks").write_text("".join(look + "\n" for look in looks))
    script(place, "ps", f"""
        echo >> {place}/count
        line=$(sed -n "$(wc -l < {place}/count)p" {place}/looks)
        echo "${{line:-{looks[-1]}}}" """)
    script(place, "sleep", "exit 0")
    script(place, "scontrol", f'echo "$@" >> {place}/asked')
    script(place, "mpirun", f"echo $$ > {place}/pid; {mpirun}")
    return subprocess.Popen(["/bin/bash", ROOT / "scripts/slurm.sbatch", "job.ini"], cwd=place, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                            env={**os.environ, "PATH": f"{place}:{os.environ['PATH']}", "RANKLESS_SECONDS": "3",
                                 "SLURM_NTASKS_PER_NODE": "1", "SLURM_CPUS_PER_TASK": "1", "SLURM_JOB_ID": "7"})


def looks_taken(place):
    return (place / "count").read_text().count("\n") if (place / "count").exists() else 0


def wait_for(claim, condition, process):
    while not condition():
        if process.poll() is not None:
            fail(claim, process.returncode)


with workspace() as place:
    hangs = "exec /bin/sleep infinity"
    process = start(place / "hangs", [NONE] * 5 + [RANK] * 3 + [NONE], hangs)
    _, errors = process.communicate(timeout=60)
    require(process.returncode == 128 + signal.SIGKILL, "an mpirun without ranks is ended", (process.returncode, errors))
    require("no rank is left" in errors, "the log says why", errors)
    require(looks_taken(place / "hangs") == 5 + 3 + 4, "3 s after the last look that saw a rank", looks_taken(place / "hangs"))

    process = start(place / "zombies", [RANK, ZOMBIE], hangs)
    process.communicate(timeout=60)
    require(looks_taken(place / "zombies") == 1 + 4, "a rank that is dead and not yet buried is none")

    process = start(place / "slow", [NONE], hangs)
    process.communicate(timeout=60)
    require(looks_taken(place / "slow") == 31, "before the first rank there are 30 s", looks_taken(place / "slow"))

    release = place / "release"
    os.mkfifo(release)
    process = start(place / "alive", [RANK] + [NONE] * 3 + [RANK] + [NONE] * 3 + [RANK], f"read < {release}; exit 75")
    wait_for("the job goes on", lambda: looks_taken(place / "alive") > 60, process)
    release.write_text("end\n")
    process.communicate(timeout=60)
    require(process.returncode == 75 and (place / "alive/asked").read_text() == "requeue 7\n",
            "an mpirun with ranks goes on to its own end, and is queued again after status 75", process.returncode)

    process = start(place / "signal", [RANK],
                    f"trap 'exit 75' USR1; echo > {place}/ready; while true; do /bin/sleep 0.1; done")
    wait_for("mpirun runs", (place / "ready").exists, process)
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=60)
    require(process.returncode == 75 and (place / "signal/asked").exists(), "SIGUSR1 reaches mpirun", process.returncode)
