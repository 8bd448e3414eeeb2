"""network_interface.py TRAIN: [network] interface selects the interface for messages, and must exist on every host."""
from harness import OWN_CASES, Case, program, require, require_reference, workspace
from hosts import Hosts, ProgramOnHosts, ip, own_namespaces

WRONG_JOB = 2


def refused(there, folder, settings, claim, *words):
    output = there.finish(there.start(2, [there.job(folder, settings)]), WRONG_JOB, claim)
    require(output.count("error:") == 1 and all(word in output for word in words), claim, output)


def main():
    own_namespaces()
    train, _ = program()
    case = Case(OWN_CASES / "llama")
    settings = {**case.settings(), "network.timeout_seconds": 20}
    hosts = Hosts("alpha", "beta", networks=2)
    with workspace() as place:
        there = ProgramOnHosts(train.train, hosts, place, options=["--mca", "oob_tcp_if_include", "eth1"])
        job = there.job(place / "second", {**settings, "network.interface": "eth1"})
        output = there.finish(there.start(2, [job]), 0, "interface = eth1")
        require("network: alpha eth1 10.77.1.1, beta eth1 10.77.1.2\n" in output, "eth1 alone is used", output)

        hosts.disconnect("beta", network=0)
        output = there.finish(there.start(2, [there.job(place / "dead", {**settings, "network.interface": "eth1"})]), 0,
                              "eth0 dead, interface = eth1")
        require_reference(case, place / "dead", "with eth0 dead, interface = eth1 makes the reference curve")

        ip("-n beta link set eth0 down")
        refused(there, place / "down", {**settings, "network.interface": "eth0"},
                "an interface that is down on one host is an error that names the host and what it has",
                "rank 1 (beta)", "eth0 on host beta is down or has no address; available: eth1 (10.77.1.2)")
        refused(there, place / "none", {**settings, "network.interface": "ib0"},
                "an interface that no host has is reported once", "rank 0 (alpha)",
                "ib0 on host alpha does not exist; available: eth0 (10.77.0.1), eth1 (10.77.1.1)")
        there.options += ["--mca", "btl_tcp_if_include", "eth0"]
        refused(there, place / "two-words", {**settings, "network.interface": "eth1"},
                "mpirun --mca and the job may not say different things", "sets btl_tcp_if_include to eth0")


main()
