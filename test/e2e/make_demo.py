"""make_demo.py TRAIN: `make demo` builds what it runs: the program, neither tests nor benchmark; and the GPU part where there
is a GPU.  Nothing is built here: make and ninja say what they would do.
"""
import os
import re
import shutil
import subprocess
from pathlib import Path

from harness import ROOT, program, require, skip

train, _ = program()
build = Path(train.train).resolve().parent
if not (build / "build.ninja").exists() or not shutil.which("make"):
    skip("this build was not made by ninja, or there is no make")

told = subprocess.run(["make", "-n", "demo", f"BUILD={build}"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
found = re.search(rf"^ninja -C {re.escape(str(build))} -j\d+ (.*)$", told, re.M)
require(found, "make demo builds with ninja", told)
targets = found[1].split()
require(targets == ["train", *(["gpu_part"] if os.path.exists("/dev/nvidiactl") else [])], "the program, by name", targets)
require(told.index(found[0]) < told.index("scripts/demo.sh"), "before it runs", told)

commands = subprocess.run(["ninja", "-C", build, "-t", "commands", *targets], capture_output=True, text=True, check=True).stdout
compiled = re.findall(r"-c (\S+\.(?:cpp|cu))", commands)
require(any(file.endswith("src/main.cpp") for file in compiled), "the program is compiled", compiled[:3])
rooms = {file: Path(build, file).resolve().relative_to(ROOT.resolve()).parts[0] for file in compiled}
others = [file for file, room in rooms.items() if room in ("test", "bench")]
require(not others, "no test and no benchmark is", others)
