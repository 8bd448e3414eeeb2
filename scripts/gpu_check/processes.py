"""Programs with a time limit.  Each has a session of its own, so that it can be ended with all that it started: ranks
(which mpirun gives process groups of their own), compilers, loaders."""
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

_running = set()  # sessions that have not ended


class Finished(NamedTuple):
    status: int | None  # None: it was ended, at its time limit or because `until` came true
    timed_out: bool
    seconds: float
    output: str


def run(command, log, seconds, variables=None, until=None):
    """Runs `command` for `seconds` at most, its output in the file `log`.  `variables`: the whole environment.
    until(): asked again and again; true ends the program, which then counts as finished."""
    begin = time.monotonic()
    with open(log, "wb") as file:
        process = subprocess.Popen(list(map(str, command)), env=variables, stdin=subprocess.DEVNULL, stdout=file,
                                   stderr=subprocess.STDOUT, start_new_session=True)
    _running.add(process.pid)
    reached = False
    try:
        while process.poll() is None and not reached and time.monotonic() - begin < seconds:
            reached = until is not None and until()
            time.sleep(0.02)
    finally:
        status = process.poll()
        end_session(process.pid)
        process.wait()
    timed_out = status is None and not reached
    return Finished(status, timed_out, time.monotonic() - begin, Path(log).read_text(errors="replace"))


def members(session):
    """The processes of a session that still run; what has ended and waits for its parent is none."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, of = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue  # it has ended meanwhile
        if int(of) == session and state not in "ZX":
            found.append(int(folder.name))
    return found


def end_session(session, patience=20):
    """SIGKILL, because a rank that is asked kindly writes a checkpoint first; when it returns, the GPU's memory is free."""
    deadline = time.monotonic() + patience
    while (left := members(session)) and time.monotonic() < deadline:
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)
    _running.discard(session)


def end_all(patience=20):
    for session in list(_running):
        end_session(session, patience)
