"""What the hostile tests share: runs of the program that may take so much time and memory and no more.

An attack that hangs or swallows memory fails its test at the limit and harms nobody else.
"""
import resource
import signal
import subprocess

from harness import environment, require

SECONDS = 60  # of one attack, on a busy machine; most end within one
MEMORY = 3 << 30  # bytes of address space: what the program maps at its start and libraries take is below one GiB


def limited(memory, cpu):
    def set_limits():
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        if cpu:
            resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 5))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return set_limits


def run(train, arguments, stdin=b"", seconds=SECONDS, memory=MEMORY, cpu=None):
    """(exit status, what was printed) of `train arguments`, one rank without mpirun; the status is None where time ran out.
    `cpu`: seconds of the processors, whatever else the machine does meanwhile."""
    process = subprocess.Popen([train.train, *map(str, arguments)], env=environment(), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=limited(memory, cpu))
    try:
        output, _ = process.communicate(stdin, timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        return None, output.decode(errors="replace")
    return process.returncode, output.decode(errors="replace")


def describe(status):
    if status is None:
        return "did not end in time"
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def refused(train, what, arguments, status, named, stdin=b"", seconds=SECONDS, memory=MEMORY):
    """The run ends with `status` (one, or one of several), and with one error, which has every word of `named` in it."""
    expected = status if isinstance(status, tuple) else (status,)
    words = [named] if isinstance(named, str) else named
    got, output = run(train, arguments, stdin, seconds, memory)
    require(got in expected, f"{what}: exit status {' or '.join(map(str, expected))}", f"{describe(got)}\n{output[-4000:]}")
    told = [line for line in output.splitlines() if "error: " in line]
    require(len(told) == 1 and all(word in output for word in words) and "internal error" not in output,
            f"{what}: one message names {' and '.join(words)[:200]}", output[-4000:])
    return output


def accepted(train, what, arguments, stdin=b"", seconds=SECONDS, memory=MEMORY, cpu=None):
    """The run ends with status 0; what it printed."""
    got, output = run(train, arguments, stdin, seconds, memory, cpu)
    require(got == 0, f"{what}: is read as it should be", f"{describe(got)}\n{output[-4000:]}")
    return output
