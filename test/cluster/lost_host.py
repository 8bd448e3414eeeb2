"""lost_host.py TRAIN: a host that dies, disconnects or stalls ends the job, which names it and can be resumed."""
import os
import signal

from harness import OWN_CASES, Case, program, require, workspace
from hosts import Hosts, ProgramOnHosts, own_namespaces
from watching import rank_processes, wait_for_step

CLUSTER_FAILED = 3
PATIENCE = 60  # seconds in which a job has to end, far above what it takes


def started(there, folder, settings):
    job = there.job(folder, settings)
    process = there.start(3, [job])
    wait_for_step(process, folder, 12)
    return job, process


def killed(there, place, settings, hosts):
    job, process = started(there, place / "killed", settings)
    hosts.kill("gamma")
    output, _ = process.communicate(PATIENCE)
    require(process.returncode != 0 and "gamma" in output, "mpirun names the host that died, and fails", output)
    require(not rank_processes(job), "no rank is left behind on the other hosts")
    latest = (place / "killed/checkpoints/latest").read_text().strip()
    two = {**settings, "train.max_steps": int(latest[5:]) + 3}
    there.finish(there.start(2, [there.job(place / "killed", two)]), 0, "the other two hosts")
    print("ok: the job resumes from its last checkpoint on the other two hosts")


def stopped(there, place, settings, hosts):
    job, process = started(there, place / "stopped", {**settings, "network.timeout_seconds": 3})
    stands = [pid for pid in hosts.processes("gamma") if pid in rank_processes(job)]
    os.kill(stands[0], signal.SIGSTOP)
    output, _ = process.communicate(PATIENCE)
    require(process.returncode == CLUSTER_FAILED, "a stalled rank: exit status 3", output)
    require(output.count("error:") == 1 and "rank 2 (gamma) has" in output, "one message, which names rank and host", output)
    require(not rank_processes(job), "no rank is left behind")


def silent(there, place, settings, hosts):
    """mpirun finds out by itself where its daemons' connections are watched, before the ranks' timeout."""
    there.options += ["--mca", "oob_tcp_keepalive_time", "2", "--mca", "oob_tcp_keepalive_intvl", "1",
                      "--mca", "oob_tcp_keepalive_probes", "3"]
    _, process = started(there, place / "silent", settings)
    hosts.disconnect("gamma")
    output, _ = process.communicate(PATIENCE)
    require(process.returncode != 0 and "gamma" in output, "a host that falls silent is named", output)
    left = hosts.processes("alpha") + hosts.processes("beta")
    require(not left, "nothing is left behind on the hosts in reach", left)


def main():
    own_namespaces()
    train, _ = program()
    settings = {**Case(OWN_CASES / "llama").settings(), "train.max_steps": 100000, "checkpoint.save_steps": 5}
    hosts = Hosts("alpha", "beta", "gamma")
    with workspace() as place:
        there = ProgramOnHosts(train.train, hosts, place)
        killed(there, place, settings, hosts)
        stopped(there, place, settings, hosts)
        silent(there, place, settings, hosts)


main()
