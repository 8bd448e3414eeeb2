"""gpu_network.py TRAIN_ON_SHIM: the log names the network that NCCL uses between hosts; a host without a GPU is named.

The shim has GPUs and no NCCL: the run ends where it would connect.
"""
from harness import OWN_CASES, Case, program, require, workspace
from hosts import Hosts, ProgramOnHosts, own_namespaces

CLUSTER_FAILED = 3


def main():
    own_namespaces()
    train, _ = program()
    settings = {**Case(OWN_CASES / "llama").settings(), "device.type": "cuda", "network.timeout_seconds": 20}
    hosts = Hosts("alpha", "beta", networks=2)
    with workspace() as place:
        there = ProgramOnHosts(train.train, hosts, place, options=["--mca", "oob_tcp_if_include", "eth1"])
        for name, job, expected in (("chosen", {"network.interface": "eth1"}, "NCCL's sockets: =eth1;"),
                                    ("found", {}, "NCCL's sockets: =eth")):
            output = there.finish(there.start(2, [there.job(place / name, {**settings, **job})]), CLUSTER_FAILED, name)
            require(expected in output, f"the log names the interface that was {name}", output)
            require("tessera_gpu_make_communicator" in output, "it went as far as NCCL", output)
        without = there.job(place / "without", settings)
        script = place / "without.sh"
        script.write_text(f"[ \"$(hostname)\" = alpha ] || export CUDA_SHIM_GPUS=\nexec {train.train} {without}\n")
        there.train = "sh"
        output = there.finish(there.start(2, [script]), CLUSTER_FAILED, "beta has no GPU")
        require(output.count("error:") == 1 and "no GPU on beta;" in output, "the host without a GPU is named", output)


main()
