"""bundle.py TRAIN: the archive of `make bundle` runs on hosts that have glibc, a shell and nothing else, in any folder.

The hosts are a root directory with glibc's files and dash in it, seen from network namespaces as a user without root.
Commands reach them as through ssh: a stand-in for it hands them to this script, which has root.
"""
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from harness import OWN_CASES, ROOT, Case, curve, fail, require, require_reference, skip, workspace, write_job
from hosts import OWN_RUN, Hosts, Run, own_namespaces

USER = 12345
HOME = "user"  # of that user, in the root directory made here
LARGEST = 64 << 20
OLDEST_GLIBC = (2, 36)
GLIBC = ("libc", "libm", "libpthread", "libdl", "librt", "libresolv")
REACH = """#!/bin/sh
host=$1; shift
echo "$*" >"/hosts/$host"
"""
TIMEOUT = 120


def make_bundle(train, place):
    for tool in ("patchelf", "zstd", "ompi_info", "dash"):
        if not shutil.which(tool):
            skip(f"no {tool} here; scripts/setup.sh installs it")
    archive = place / "bundle.tar.zst"
    done = subprocess.run([ROOT / "scripts/bundle.sh", train, archive], capture_output=True, text=True)
    require(done.returncode == 0, "the bundle is made", done.stdout + done.stderr)
    return archive


def symbols_wanted(bundle):
    """The versions of glibc's symbols that files of the bundle ask for."""
    for file in filter(lambda f: f.is_file() and f.read_bytes()[:4] == b"\x7fELF", bundle.rglob("*")):
        for version in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", file.read_bytes()):
            yield tuple(map(int, version)), file.name


class BareRoot:
    """A root directory with glibc and a shell, and the devices that every system has.  It lies in a file system that ends
    with this script's namespaces: nobody has to remove a directory in which /proc and /dev are mounted."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("bin", "dev/shm", "etc", "hosts", "lib", "lib64", "proc", "sys", "tmp", HOME):
            (folder / name).mkdir(parents=True)
        listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            found = re.match(r"\s*(\S+)\.so\.\d+ \(libc6,x86-64.*=> (\S+)", line)
            if found and found[1] in GLIBC:
                shutil.copy(found[2], folder / "lib")
        shutil.copy("/lib64/ld-linux-x86-64.so.2", folder / "lib64")
        shutil.copy(shutil.which("dash"), folder / "bin/sh")
        (folder / "etc/passwd").write_text(f"root:x:0:0::/:/bin/sh\nuser:x:{USER}:{USER}::/{HOME}:/bin/sh\n")
        (folder / "bin/reach").write_text(REACH)
        (folder / "bin/reach").chmod(0o755)
        os.chown(folder / HOME, USER, USER)
        for name in ("tmp", "dev/shm"):
            (folder / name).chmod(0o1777)
        for name in ("null", "zero", "urandom"):
            (folder / "dev" / name).touch()
            subprocess.run(["mount", "--bind", f"/dev/{name}", folder / "dev" / name], check=True)
        subprocess.run(["mount", "-t", "proc", "proc", folder / "proc"], check=True)
        subprocess.run(["mount", "--bind", "/sys", folder / "sys"], check=True)

    def command(self, host, text):
        """`text` in a shell of this root on a host, as the user."""
        inside = f'hostname {host} && exec chroot --userspec={USER}:{USER} --groups= {self.folder} /bin/sh -c "$0"'
        return ["ip", "netns", "exec", host, "unshare", "--uts", "env", "-i", f"PATH={os.environ['PATH']}", "sh", "-c",
                inside, f"PATH=/bin; HOME=/{HOME}; export PATH HOME; cd; {text}"]

    def answer(self, host):
        """From now on, what `reach HOST COMMAND` is told runs on the host."""
        pipe = self.folder / "hosts" / host
        os.mkfifo(pipe)
        pipe.chmod(0o666)

        def serve():
            while True:
                for line in open(pipe):
                    subprocess.Popen(self.command(host, line.strip()), stdin=subprocess.DEVNULL)

        threading.Thread(target=serve, daemon=True).start()


def trains(bare, case, job_folder, mpirun, ranks, claim):
    """A reference job of the bundle's user on the first host."""
    folder = bare.folder / HOME / job_folder
    folder.mkdir()
    shutil.copytree(case.folder / "model", folder / "model")
    shutil.copy(case.folder / "train.jsonl", folder)
    write_job(folder / "job.ini", {**case.settings(), "model.base": "model", "dataset.reference.path": "train.jsonl",
                                   "job.output_dir": "."})
    subprocess.run(["chown", "-R", f"{USER}:{USER}", folder], check=True)
    run = Run(bare.command("alpha", f"{mpirun} -n {ranks} --oversubscribe ./train ~/{job_folder}/job.ini"))
    try:
        output, _ = run.communicate(TIMEOUT)
    except subprocess.TimeoutExpired:
        run.kill()
        fail(f"{claim}: ends within {TIMEOUT} s", run.communicate()[0])
    require(run.returncode == 0, claim, output)
    require_reference(case, folder, f"{claim}: the reference curve")
    return output


def require_gpu_part(bare, home, train):
    """It is there where it was built, with what gpu-check runs, and says on a host without a GPU what is missing."""
    made = [(Path(train).parent / "libtessera_cuda.so").exists()]
    packed = [(home / "tessera" / name).exists() for name in
              ("lib/libtessera_cuda.so", "libexec/test_cuda", "libexec/bench_kernels", "scripts/gpu-check",
               "scripts/gpu_check/main.py", "test/e2e/harness.py", "test/data/reference/llama/expected.json")]
    require(packed == made * len(packed), "the GPU part is in it where it was built, with gpu-check", (packed, made))
    done = subprocess.run(bare.command("alpha", "cd tessera && ./train ~/one/job.ini device.type=cuda job.output_dir=../gpu"),
                          capture_output=True, text=True, timeout=TIMEOUT)
    require(done.returncode == 3 and "no NVIDIA driver" in done.stderr, "asked for GPUs, it says what is missing",
            done.stdout + done.stderr)


def main():
    own_namespaces()
    if os.getuid() != 0 or "0 4294967295" not in " ".join(open("/proc/self/uid_map").read().split()):
        skip("root is needed to become a user without root")
    hosts = Hosts("alpha", "beta")
    case = Case(OWN_CASES / "llama")
    with workspace() as place:
        place.chmod(0o755)
        archive = make_bundle(sys.argv[1], place)
        require(archive.stat().st_size <= LARGEST, "it has at most 64 MiB", archive.stat().st_size)
        bare = BareRoot(OWN_RUN / "bare")
        for host in hosts.names:
            bare.answer(host)
        subprocess.run(["tar", "-C", bare.folder / HOME, "--zstd", "-xf", archive], check=True)
        home = bare.folder / HOME
        newest = max(symbols_wanted(home / "tessera"))
        require(newest[0] <= OLDEST_GLIBC, "it asks for no glibc newer than 2.36", newest)
        require((home / "tessera/licenses/PACKAGES").read_text().count("\n") > 20, "the notices of what it holds are in it")

        trains(bare, case, "one", "cd tessera && exec bin/mpirun", 2, "two ranks on a bare host")
        require_gpu_part(bare, home, sys.argv[1])
        (home / "elsewhere").mkdir()
        (home / "tessera").rename(home / "elsewhere/moved here")
        where = "cd 'elsewhere/moved here' && exec bin/mpirun"
        trains(bare, case, "two", where, 2, "in another folder, with a blank in its name")
        (home / "elsewhere/moved here").rename(home / "elsewhere/again")
        (home / "hosts").write_text("alpha slots=1\nbeta slots=1\n")
        output = trains(bare, case, "three",
                        "cd elsewhere/again && exec bin/mpirun -hostfile ~/hosts --mca plm_rsh_agent /bin/reach", 2,
                        "on two bare hosts")
        require("network: alpha eth0 10.77.0.1, beta eth0 10.77.0.2" in output, "over the network between them", output)
        require(curve(home / "three") == curve(home / "one"), "with the bits of one host")


main()
