"""gpu_errors.py TRAIN [STUBS]: a missing GPU library gives one message and exit status 3, and no rank hangs.

STUBS: a folder with CUDA's stand-in for the driver, which says that there is no GPU; without it what needs a driver is left
out, and where there is no compiler, or no GPU part, what needs other libraries.
"""
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness import OWN_CASES, Case, program, require, workspace

train, arguments = program()
STUB = Path(arguments[0]) / "libcuda.so" if arguments else None
JOB = {**Case(OWN_CASES / "llama").settings(), "train.max_steps": 1, "device.type": "cuda"}

LIBRARY = Path(train.train).parent / "libtessera_cuda.so"


def stand_in(folder, library, prefix, version):
    """A library with every function that the GPU part has of it; `version`: the one that tells it, in C."""
    listed = subprocess.run(["nm", "-D", "--undefined-only", LIBRARY], capture_output=True, text=True, check=True).stdout
    symbols = {line.split()[-1] for line in listed.splitlines() if line.split()[-1].startswith(prefix)}
    names, versions = ({symbol.partition("@")[part] for symbol in symbols} - {""} for part in (0, 2))
    code = version + "".join(f"int {name}(void) {{ return 0; }}\n" for name in sorted(names) if f"{name}(" not in version)
    source = folder / f"{prefix}.c"
    source.write_text(code)
    script = folder / f"{prefix}.map"
    script.write_text("".join(f"{name} {{ global: *; }};\n" for name in versions) or "{ global: *; };\n")
    subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{library},--version-script={script}", "-o", folder / library,
                    source], check=True)


def with_libraries(folder):
    return {"LD_LIBRARY_PATH": f"{folder}:{os.environ.get('LD_LIBRARY_PATH', '')}"}


def require_whole(libraries):
    """The other programs beside the library load it whole too."""
    for name, arguments, status in (("test_cuda", [], 77), ("bench_kernels", ["--device", "cuda"], 3)):
        if (LIBRARY.parent / name).exists() and LIBRARY.exists():
            done = subprocess.run([LIBRARY.parent / name, *arguments], env={**os.environ, **with_libraries(libraries)},
                                  capture_output=True, text=True)
            output = done.stdout + done.stderr
            require(done.returncode == status and "no NVIDIA driver" in output, f"{name} says that there is no GPU", output)


with workspace() as place:
    if os.path.exists("/dev/nvidiactl"):
        print("there is a GPU here: what is said without one is not tested")
    else:
        train.require_told_once("no driver", place / "run", JOB, ["no NVIDIA driver", "no GPU backend"])
        if STUB and STUB.exists():
            with tempfile.TemporaryDirectory() as libraries:
                (Path(libraries) / "libcuda.so.1").symlink_to(STUB)

                # The library is loaded whole, every symbol of it found, before it is asked for GPUs.
                def told(claim, words):
                    train.require_told_once(claim, place / "run", JOB, words, with_libraries(libraries))

                told("a driver without a GPU", ["no GPU on", "driver", "no GPU backend"])
                require_whole(libraries)
                if LIBRARY.exists() and shutil.which("cc") and shutil.which("nm"):
                    folder = Path(libraries)
                    stand_in(folder, "libcudnn.so.9", "cudnn", "unsigned long cudnnGetVersion(void) { return 91800; }\n")
                    told("cuDNN is too old", ["cuDNN 9.18.0 is installed, 9.18.1 or newer"])
                    (folder / "libcudnn.so.9").unlink()
                    (folder / "libnccl.so.2").write_bytes(b"")
                    told("NCCL cannot be loaded", ["libnccl.so.2"])
                    stand_in(folder, "libnccl.so.2", "nccl", "int ncclGetVersion(int* v) { *v = 21805; return 0; }\n")
                    told("NCCL is too old", ["this host has NCCL 2.18.5"])
