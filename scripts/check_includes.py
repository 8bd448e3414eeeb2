#!/usr/bin/env python3
"""Checks that every #include goes the way that docs/architecture.md says: a room includes itself and rooms above it.

    scripts/check_includes.py [ROOT]      the project's sources; exit code 1 with one line per wrong #include
    scripts/check_includes.py --self-test that each kind of wrong #include is found in a made-up tree

Only Python's standard library is needed.
"""

import pathlib
import re
import sys
import tempfile

# The one list of rooms.  Rooms of one row do not include each other; a row sees the rows above it.
ORDER = [
    ["base"],
    ["job", "device", "text"],
    ["kernels", "cluster"],
    ["data", "model"],
    ["shard"],
    ["optim"],
    ["checkpoint"],
    ["session", "report"],
    ["trainer", "generate"],
    ["verbs"],
    ["main"],
]

# Headers of libraries that only some folders may include: a pattern, the folders, what to do instead.
LIBRARIES = [
    (r"(mpi|nccl)\.h", ["src/cluster"], "go through cluster/communicator.h"),
    (r"(cuda|cublas|cudnn|nv|cooperative_groups|cub/|thrust/|cute/|cutlass/).*", ["src/device", "kernels/cuda"],
     "go through the device room"),
    (r"hdf5(_hl)?\.h|H5\w*\.h", ["src/base"], "go through base/hdf5.h"),
]

SOURCES = {".h", ".hpp", ".cpp", ".cc", ".cu", ".cuh"}
FOLDERS = ["src", "kernels"]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')
ROW = {room: row for row, rooms in enumerate(ORDER) for room in rooms}


def room_of(path):
    """The room of a file, given relative to the root; None outside all rooms."""
    parts = path.parts
    if parts[0] == "kernels":
        return "kernels"
    if parts[0] == "src" and len(parts) == 2:
        return "main"
    return parts[1] if parts[0] == "src" else None


def included_file(root, path, name):
    """The project's file that an #include "name" of `path` means, relative to the root; None for a library's."""
    for candidate in (root / path.parent / name, root / "src" / name, root / name):
        if candidate.is_file():
            return candidate.resolve().relative_to(root.resolve())
    return None


def fault_of(root, path, name):
    """What is wrong with this #include; None where nothing is."""
    target = included_file(root, path, name)
    if target is None:
        for pattern, folders, advice in LIBRARIES:
            allowed = any(path.is_relative_to(folder) for folder in folders)
            if re.fullmatch(pattern, name) and not allowed:
                return f"{name} belongs to {' and '.join(folders)}; {advice}"
        return None
    room, other = room_of(path), room_of(target)
    for each in (room, other):
        if each not in ROW:
            return f"{each} is in no row of ORDER; add the room to scripts/check_includes.py"
    if room != other and ROW[other] >= ROW[room]:
        return f"{target} is in {other}, which is not above {room}"
    return None


def faults(root):
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            if file.suffix not in SOURCES:
                continue
            path = file.relative_to(root)
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                include = INCLUDE.match(line)
                fault = include and fault_of(root, path, include[2])
                if fault:
                    yield f"{path}:{number}: {fault}"


def self_test():
    """A tree with right and wrong #includes: exactly the wrong ones are found."""
    files = {
        "src/base/error.h": "#include <string>\n",
        "src/base/hdf5.h": "#include <hdf5.h>\n",
        "src/job/job.h": '#include "base/error.h"\n#include <cstdint>\n',
        "src/job/parse.cpp": '#include "job/job.h"\n#include "job.h"\n#include "text/tokenizer.h"\n',
        "src/text/tokenizer.h": "",
        "src/device/device.h": "#include <cuda_runtime.h>\n#include <cudaTypedefs.h>\n",
        "kernels/kernels.h": '#include "device/device.h"\n',
        "kernels/cpu/gemm.cpp": '#include "kernels/kernels.h"\n#include <cuda_fp16.h>\n',
        "kernels/cuda/gemm.cu": "#include <cublasLt.h>\n",
        "src/cluster/cluster.h": "#include <mpi.h>\n#include <nccl.h>\n",
        "src/shard/shard.h": '#include "model/model.h"\n#  include <mpi.h>\n// #include <nccl.h>\n',
        "src/model/model.h": '#include "shard/shard.h"\n#include "job/job.h"\n',
        "src/checkpoint/shard_file.h": '#include <hdf5.h>\n#include "base/hdf5.h"\n',
        "src/trainer/trainer.h": "#include <nccl.h>\n",
        "src/attic/old.h": '#include "base/error.h"\n',
        "src/main.cpp": '#include "trainer/trainer.h"\n#include <nvml.h>\n',
        "src/session/session.h": "",
        "src/generate/generate.h": '#include "main.cpp"\n#include "session/session.h"\n#include "trainer/trainer.h"\n',
    }
    expected = {
        "kernels/cpu/gemm.cpp:2", "src/attic/old.h:1", "src/checkpoint/shard_file.h:1", "src/generate/generate.h:1",
        "src/generate/generate.h:3", "src/job/parse.cpp:3", "src/main.cpp:2", "src/model/model.h:1", "src/shard/shard.h:2", "src/trainer/trainer.h:1",
    }
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        found = {line.split(": ")[0] for line in faults(root)}
    for place in sorted(expected - found):
        print(f"self-test: the wrong #include at {place} was not found")
    for place in sorted(found - expected):
        print(f"self-test: the #include at {place} is right, but was complained about")
    return 1 if found != expected else 0


def main():
    if "--self-test" in sys.argv[1:]:
        return self_test()
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
    found = list(faults(root))
    print("\n".join(found) if found else "every #include goes the right way")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
