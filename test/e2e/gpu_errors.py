"""gpu_errors.py TRAIN [STUBS]: what is missing for GPUs is told once, with exit code 3, and nobody hangs.

STUBS: a folder with CUDA's stand-in for the driver, which says that there is no GPU; without it that part is left out.
"""
import os
import tempfile
from pathlib import Path

from harness import OWN_CASES, Case, program, workspace

train, arguments = program()
STUB = Path(arguments[0]) / "libcuda.so" if arguments else None
JOB = {**Case(OWN_CASES / "llama").settings(), "train.max_steps": 1, "device.type": "cuda"}

with workspace() as place:
    if os.path.exists("/dev/nvidiactl"):
        print("there is a GPU here: what is said without one is not tested")
    else:
        train.require_told_once("no driver", place / "run", JOB, ["no NVIDIA driver", "no GPU part"])
        if STUB and STUB.exists():
            with tempfile.TemporaryDirectory() as libraries:
                (Path(libraries) / "libcuda.so.1").symlink_to(STUB)
                # The library is loaded whole, every symbol of it found, before it is asked for GPUs.
                path = f"{libraries}:{os.environ.get('LD_LIBRARY_PATH', '')}"
                train.require_told_once("a driver without a GPU", place / "run", JOB,
                                        ["no GPU on", "driver", "no GPU part"], {"LD_LIBRARY_PATH": path})
