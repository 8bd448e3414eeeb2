"""several_hosts.py TRAIN: the ranks of one host and of several make the same curve; runs move between hosts."""
import os
import signal

from harness import OWN_CASES, Case, curve, program, require, require_reference, workspace
from hosts import Hosts, ProgramOnHosts, own_namespaces
from watching import rank_processes, wait_for_step

STOPPED = 75


def same_as_one_host(train, place, case, hosts):
    there = ProgramOnHosts(train.train, hosts, place)
    settings = case.settings()
    train.run(place / "one", settings, 2)
    output = there.finish(there.start(2, [there.job(place / "two", settings)]), 0, "two hosts")
    require("network: alpha eth0 10.77.0.1, beta eth0 10.77.0.2" in output, "the interfaces in use are named", output)
    require(curve(place / "two") == curve(place / "one"), "two hosts make the bits that one host makes")
    require_reference(case, place / "two", "and they are those of the reference")
    require(len(list((place / "two/checkpoints").glob("step-*/shard-*.h5"))) == 2, "each rank wrote its shard")


def stopped_and_resumed(train, place, case, hosts):
    there = ProgramOnHosts(train.train, hosts, place)
    settings = {**case.settings(), "train.max_steps": 100}
    train.run(place / "whole", settings, 3)
    job = there.job(place / "parts", settings)
    process = there.start(3, [job])
    wait_for_step(process, place / "parts", 7)
    last = [pid for pid in hosts.processes("gamma") if pid in rank_processes(job)]
    os.kill(last[0], signal.SIGUSR1)
    there.finish(process, STOPPED, "SIGUSR1 to a rank of another host")
    done = len(curve(place / "parts"))
    require(7 <= done < 100, f"it stopped all hosts, after {done} steps")
    there.run(place / "parts", settings, 3)
    require(curve(place / "parts") == curve(place / "whole"), "the resumed run equals the uninterrupted one")


def groups_of_hosts(train, place, case, hosts):
    there = ProgramOnHosts(train.train, hosts, place, slots=2)
    hybrid = {**case.settings(), "shard.strategy": "hybrid_shard"}
    there.run(place / "hybrid", hybrid, 4)
    require_reference(case, place / "hybrid", "hybrid_shard with each host as a group: the reference curve")
    train.run(place / "groups", {**hybrid, "shard.group_size": 2}, 4)
    require(curve(place / "hybrid") == curve(place / "groups"), "the bits of two groups of two ranks on one host")


def main():
    own_namespaces()
    train, _ = program()
    case = Case(OWN_CASES / "qwen2")
    hosts = Hosts("alpha", "beta", "gamma")
    with workspace() as place:
        same_as_one_host(train, place, case, hosts)
        stopped_and_resumed(train, place, case, hosts)
        groups_of_hosts(train, place, case, hosts)


main()
