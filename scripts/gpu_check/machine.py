"""The machine: its GPU and driver, where CUDA's libraries are, which Python has PyTorch."""
import functools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .programs import ROOT

LIBRARIES = {"cuBLAS": "libcublasLt.so.13", "cuDNN": "libcudnn.so.9", "NCCL": "libnccl.so.2", "NVRTC": "libnvrtc.so.13"}
LOADER_FOLDERS = [Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64")]  # searched without LD_LIBRARY_PATH
SHARED_GPU_NCCL = (2, 30, 3)  # the first that connects several ranks of one GPU


@dataclass
class Machine:
    gpu: dict = field(default_factory=dict)        # name, driver, memory_bytes, …; empty where there is none
    libraries: dict = field(default_factory=dict)  # "cuDNN" -> the folder it was found in, or None
    versions: dict = field(default_factory=dict)   # "cuDNN" -> "9.19.0", as the library itself says
    library_path: str = ""                         # for LD_LIBRARY_PATH

    @property
    def is_h100(self):
        return "H100" in self.gpu.get("name", "")

    @property
    def nccl_shares_a_gpu(self):
        version = tuple(map(int, self.versions.get("NCCL", "0").split(".")))
        return version >= SHARED_GPU_NCCL


def look_at_machine(python=None):
    folders = {name: _folder_of(file, python) for name, file in LIBRARIES.items()}
    path = _library_path(python, set(folders.values()))
    return Machine(gpu=_ask_nvidia_smi(), libraries={name: folder and str(folder) for name, folder in folders.items()},
                   versions=_ask_libraries(path), library_path=path)


def _ask_nvidia_smi():
    fields = {"name": "name", "driver": "driver_version", "memory_mib": "memory.total", "power_limit": "power.limit",
              "highest_sm_clock": "clocks.max.sm", "count": "count"}
    told = _query_gpu(fields.values(), seconds=60)
    if not told:
        return {}
    gpu = dict(zip(fields, told))
    return {**gpu, "memory_bytes": int(float(gpu.pop("memory_mib"))) << 20}


def memory_in_use():
    """Bytes of the GPU's memory that are taken now, by whatever; None where nvidia-smi does not say."""
    told = _query_gpu(["memory.used"], seconds=5)
    return int(told[0]) << 20 if told and told[0].isdigit() else None


def _query_gpu(fields, seconds):
    """What nvidia-smi says of the first GPU; empty where it says nothing in that time."""
    told = _output(["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"], seconds)
    return [value.strip() for value in told.splitlines()[0].split(",")] if told else []


def _folder_of(file, python):
    return next((folder for folder in _library_folders(python) if (folder / file).exists()), None)


def _library_path(python, chosen):
    """The folders given and chosen in the order of the search, so that the loader finds what the search has found."""
    wanted = chosen - set(LOADER_FOLDERS) | set(map(Path, _given_folders()))
    return os.pathsep.join(dict.fromkeys(str(folder) for folder in _library_folders(python) if folder in wanted))


def toolkits():
    """CUDA toolkits, the one that the machine prefers first."""
    return [Path("/usr/local/cuda"), *sorted(Path("/usr/local").glob("cuda-*"), reverse=True)]


def _given_folders():
    return [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if folder]


def _library_folders(python):
    """Where a library is looked for, the first place first."""
    yield from map(Path, _given_folders())
    for toolkit in toolkits():
        yield from (toolkit / "lib64", toolkit / "targets" / "x86_64-linux" / "lib", toolkit / "lib")
    for site in _site_packages(python):
        yield from sorted(Path(site).glob("nvidia/*/lib"))  # the packages nvidia-cublas, nvidia-cudnn-cu13 …
    yield from LOADER_FOLDERS


@functools.cache
def _site_packages(python):
    """The folders of packages of every Python found."""
    code = "import site, sys; print('\\n'.join(p for p in [*sys.path, site.getusersitepackages()] if 'packages' in p))"
    answers = (_output([each, "-c", code]) or "" for each in pythons(python))
    return list(dict.fromkeys(folder for answer in answers for folder in answer.splitlines()))


def pythons(first=None):
    """Interpreters that may have what is looked for; `first` is the one that the user names."""
    environments = [os.environ.get("VIRTUAL_ENV"), os.environ.get("CONDA_PREFIX"), ROOT / "build/venv", "/opt/conda",
                    "/opt/venv"]
    places = [first, sys.executable, shutil.which("python3"), shutil.which("python"),
              *(Path(folder) / "bin/python" for folder in environments if folder)]
    return list(dict.fromkeys(str(place) for place in places if place and Path(place).exists()))


def find_peer_python(python=None):
    """The first Python that has torch and transformers, or None."""
    code = "from importlib.util import find_spec as f; print(bool(f('torch') and f('transformers')))"
    return next((each for each in pythons(python) if _output([each, "-c", code]) == "True"), None)


def _output(command, seconds=60):
    """What a program prints; None where it is not there, fails or takes longer."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


# Another process, because the path of libraries is read when one starts.
_VERSIONS = """
import ctypes, json, sys
def returned(function):
    function.restype = ctypes.c_size_t
    return function()
def stored(function, count=1):
    numbers = [ctypes.c_int() for _ in range(count)]
    function(*map(ctypes.byref, numbers))
    return [number.value for number in numbers]
def in_digits(n):
    return f"{n // 10000}.{n // 100 % 100}.{n % 100}"
ask = {"cuBLAS": lambda library: in_digits(returned(library.cublasLtGetVersion)),
       "cuDNN": lambda library: in_digits(returned(library.cudnnGetVersion)),
       "NCCL": lambda library: in_digits(stored(library.ncclGetVersion)[0]),
       "NVRTC": lambda library: "{}.{}".format(*stored(library.nvrtcVersion, 2)),
       "CUDA of the driver": lambda library: "{}.{}".format(*divmod(stored(library.cuDriverGetVersion)[0] // 10, 100))}
found = {}
for name, file in json.loads(sys.argv[1]).items():
    try:
        found[name] = ask[name](ctypes.CDLL(file))
    except (OSError, AttributeError):
        pass
print(json.dumps(found))
"""


def _ask_libraries(path):
    files = {**LIBRARIES, "CUDA of the driver": "libcuda.so.1"}
    try:
        done = subprocess.run([sys.executable, "-c", _VERSIONS, json.dumps(files)], capture_output=True, text=True,
                              timeout=60, env={**os.environ, "LD_LIBRARY_PATH": path})
        return json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return {}
