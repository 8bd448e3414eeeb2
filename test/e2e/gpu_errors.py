"""gpu_errors.py TRAIN [STUBS]: what is missing for GPUs is told once, with exit code 3, and nobody hangs.

STUBS: a folder with CUDA's stand-in for the driver, which says that there is no GPU; without it that part is left out.
"""
import os
import subprocess
import tempfile
from pathlib import Path

from harness import OWN_CASES, Case, environment, program, require, workspace

train, arguments = program()
STUB = Path(arguments[0]) / "libcuda.so" if arguments else None


def message(place, claim, expected, libraries=None, ranks=2):
    job = train.job(place / "run", {**Case(OWN_CASES / "llama").settings(), "train.max_steps": 1, "device.type": "cuda"})
    surroundings = environment()
    if libraries:
        surroundings["LD_LIBRARY_PATH"] = f"{libraries}:{surroundings.get('LD_LIBRARY_PATH', '')}"
    done = subprocess.run(["mpirun", "-q", "-n", str(ranks), train.train, str(job)], env=surroundings, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    errors = [line for line in (done.stdout + done.stderr).splitlines() if "error:" in line]
    require(done.returncode == 3, f"{claim}: exit code 3", (done.returncode, done.stdout, done.stderr))
    require(len(errors) == 1 and any(words in errors[0] for words in expected), f"{claim}: one message says so",
            done.stdout + done.stderr)


with workspace() as place:
    if os.path.exists("/dev/nvidiactl"):
        print("there is a GPU here: what is said without one is not tested")
    else:
        message(place, "no driver", ["no NVIDIA driver", "no GPU part"])
        if STUB and STUB.exists():
            with tempfile.TemporaryDirectory() as libraries:
                (Path(libraries) / "libcuda.so.1").symlink_to(STUB)
                # The library is loaded whole, every symbol of it found, before it is asked for GPUs.
                message(place, "a driver without a GPU", ["no GPU on", "driver", "no GPU part"], libraries)
