"""start_up.py TRAIN: a rank that stalls during start-up ends the job, and a signal in that time is handled."""
import fcntl
import os
import signal
import subprocess
import time
from pathlib import Path

from harness import OWN_CASES, Case, environment, fail, program, require, workspace
from watching import rank_processes

STOPPED = 75
train, _ = program()
case = Case(OWN_CASES / "llama")


def wait_for(claim, process, condition):
    """Returns once `condition` holds; the job has to be still going then."""
    while not (value := condition()):
        if process.poll() is not None:
            fail(claim, process.communicate()[0])
        time.sleep(0.01)
    return value


def rank_process(job, rank):
    """The process id of this rank's program, once it is started and no longer the shell before it."""
    for pid in rank_processes(job):
        place = Path(f"/proc/{pid}")
        try:
            is_rank = f"OMPI_COMM_WORLD_RANK={rank}".encode() in (place / "environ").read_bytes().split(b"\0")
            if is_rank and os.path.samefile(place / "exe", train.train):
                return pid
        except OSError:  # it has ended meanwhile
            pass
    return None


def catches(pid, number):
    """Does the process handle this signal?"""
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return int(caught.split()[1], 16) >> (number - 1) & 1


def start(job, by_rank):
    """Two ranks, each after these commands of a shell."""
    return train.start(2, ["-c", f'{by_rank}; exec "$0" "$1"', train.train, job], program="/bin/sh")


def signal_before_main():
    """One that is there before the program's first instruction."""
    def hold_one():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        os.kill(os.getpid(), signal.SIGUSR1)

    job = train.job(place / "before", case.settings())
    for verb, expected in (("run", STOPPED), ("preprocess", -signal.SIGUSR1)):
        done = subprocess.run([train.train, verb, job], env=environment(), preexec_fn=hold_one, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        require(done.returncode == expected, f"{verb}: a signal before main is answered", (done.returncode, done.stdout, done.stderr))
    require(not (place / "before/checkpoints").exists(), "there was no state to save")


def signal_in_mpi_init():
    job = train.job(place / "early", case.settings())
    os.mkfifo(place / "go")
    process = start(job, f'[ "$OMPI_COMM_WORLD_RANK" = 0 ] || read go < {place / "go"}')
    pid = wait_for("rank 0 handles signals before MPI lets it go on", process,
                   lambda: (pid := rank_process(job, 0)) and catches(pid, signal.SIGUSR1) and pid)
    os.kill(pid, signal.SIGUSR1)
    (place / "go").write_text("go\n")
    output = train.finish(process, STOPPED, "a signal to a rank that waits in MPI_Init")
    require("stopped by a signal" in output, "the log says so", output)


def stopped_while_data_is_prepared():
    """Rank 0 waits for a lock that this test holds, rank 1 for rank 0, and is stopped."""
    folder = place / "preparing"
    settings = {**case.settings(), "network.timeout_seconds": 5}
    job = train.job(folder, settings)
    train.alone("preprocess", job)
    prepared = next((folder / "prepared").glob("*.h5"))
    prepared.unlink()
    with open(prepared.with_name(prepared.name.split(".")[0] + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = train.start(2, [job])
        for line in process.stdout:
            if "waiting for it" in line:
                break
        pid = wait_for("rank 1 runs", process, lambda: rank_process(job, 1))
        os.kill(pid, signal.SIGSTOP)
        output = train.finish(process, 3, "a rank is stopped while another one prepares the data")
    require("rank 1 (" in output and "while preparing the data for 5 s" in output, "it is named", output)
    require(not rank_processes(job), "no rank is left")


def stopped_before_mpi_init():
    job = train.job(place / "stopped", {**case.settings(), "network.timeout_seconds": 5})
    process = start(job, '[ "$OMPI_COMM_WORLD_RANK" = 0 ] || kill -STOP $$')
    output = train.finish(process, 3, "a rank is stopped before it comes to MPI_Init")
    told = [line for line in output.splitlines() if "error: " in line]
    require(len(told) == 1 and "has waited 60 s" in told[0] and "every rank to reach MPI_Init" in told[0],
            "one message says which host waited for what", output)
    require(not rank_processes(job), "no rank is left")


with workspace() as place:
    signal_before_main()
    signal_in_mpi_init()
    stopped_while_data_is_prepared()
    stopped_before_mpi_init()
