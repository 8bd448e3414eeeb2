"""Several hosts on this one: network namespaces with names of their own, joined by a bridge.

    own_namespaces()                     # before anything else: the script starts again, in namespaces of its own
    hosts = Hosts("alpha", "beta")       # eth0: 10.77.0.1, 10.77.0.2 …; with networks=2 also eth1: 10.77.1.1 …
    hosts.mpirun(["-n", "2", train, job])

All of it (interfaces, mounts, processes) ends with the script, however that ends.  A user without root gets it too, where
the system lets users have namespaces.
"""
import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import Program, environment, skip

MARK = "TESSERA_TEST_NAMESPACES"
OWN_RUN = Path("/run")  # after own_namespaces(): an empty file system in memory, of this script alone
AGENT = Path(__file__).resolve().parent / "ssh_to_namespace.sh"


def own_namespaces():
    """Starts this script again in namespaces for mounts, networks, host names and processes; skips where there are none."""
    if MARK in os.environ:
        subprocess.run("mount -t tmpfs none /run && mkdir /run/netns && ip link set lo up", shell=True, check=True)
        os.environ["TMPDIR"] = str(OWN_RUN)  # what the processes of a host that dies leave there ends with it
        return
    for tool in ("unshare", "ip"):
        if not shutil.which(tool):
            skip(f"no {tool} here (Debian: util-linux, iproute2)")
    unshare = ["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.getuid() != 0:
        unshare += ["--user", "--map-root-user"]
    bridge = "ip link add trial type bridge && ip link add trial0 type veth peer name trial1"
    trial = subprocess.run([*unshare, "sh", "-c", f"mount -t tmpfs none /run && {bridge}"], capture_output=True, text=True)
    if trial.returncode != 0:
        skip(f"this system gives no network namespaces: {trial.stderr.strip()}")
    os.execvpe("unshare", [*unshare, sys.executable, *sys.argv], {**os.environ, MARK: "1"})


def ip(command):
    subprocess.run(["ip", *command.split()], check=True)


class Hosts:
    """Hosts by name; the first one is where mpirun is started.  Each sees every network as eth0, eth1 …"""

    def __init__(self, *names, networks=1):
        self.names = names
        self.networks = networks
        for network in range(networks):
            ip(f"link add net{network} type bridge")
            ip(f"link set net{network} up")
        for number, name in enumerate(names, start=1):
            ip(f"netns add {name}")
            ip(f"-n {name} link set lo up")
            for network in range(networks):
                self._connect(name, number, network)

    def _connect(self, name, number, network):
        here, there = f"{name}{network}", f"eth{network}"
        ip(f"link add {here} type veth peer name {there} netns {name}")
        ip(f"link set {here} master net{network} up")
        ip(f"-n {name} address add {self.address(number, network)}/24 dev {there}")
        ip(f"-n {name} link set {there} up")

    @staticmethod
    def address(number, network=0):
        return f"10.77.{network}.{number}"

    def command(self, name, words):
        """The command line that runs `words` on a host."""
        return [str(AGENT), name, *map(str, words)]

    def processes(self, name):
        listed = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=True)
        return [int(line) for line in listed.stdout.split()]

    def kill(self, name):
        """Everything on the host ends at once; the host itself still answers, with resets."""
        for process in self.processes(name):
            os.kill(process, signal.SIGKILL)

    def disconnect(self, name, network=0):
        """What is sent on this network from or to the host gets lost, as with a pulled cable far away."""
        ip(f"link set {name}{network} nomaster")

    def hostfile(self, path, slots=1):
        path.write_text("".join(f"{name} slots={slots}\n" for name in self.names))
        return path


class ProgramOnHosts(Program):
    """The program under mpirun, started on the first host."""

    def __init__(self, train, hosts, place, slots=1, mpirun="mpirun", options=()):
        super().__init__(train)
        self.hosts = hosts
        self.mpirun = mpirun
        self.options = ["-hostfile", hosts.hostfile(place / f"{slots}.hosts", slots), "--map-by", "slot",
                        "--mca", "plm_rsh_agent", AGENT, *options]

    def start(self, ranks, arguments):
        words = [self.mpirun, *self.options, "-n", ranks, self.train, *arguments]
        return Run(self.hosts.command(self.hosts.names[0], words))


class Run(subprocess.Popen):
    """A process whose output goes to a file: a pipe would stay open as long as a host that mpirun lost sight of."""

    def __init__(self, command):
        self.output = tempfile.TemporaryFile("w+")
        super().__init__(command, env=environment(), stdin=subprocess.DEVNULL, stdout=self.output,
                         stderr=subprocess.STDOUT)
        atexit.register(self.kill)

    def communicate(self, timeout=None):
        self.wait(timeout)
        self.output.seek(0)
        return self.output.read(), None
