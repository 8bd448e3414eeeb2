"""kernel_benchmark.py BENCH_KERNELS: it measures every kernel of kernels/kernels.h, and writes what it measured as JSON."""
import json
import math
import os
import re
import subprocess
import sys

from harness import ROOT, require, workspace

PROGRAM = sys.argv[1]
KEYS = {"name": str, "shape": str, "dtype": str, "seconds": float, "bytes": float, "flops": float, "bound_seconds": float,
        "fraction_of_bound": float}
kernels = set(re.findall(r"virtual void (\w+)\(Stream&", (ROOT / "kernels" / "kernels.h").read_text()))


def run(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=300)


with workspace() as place:
    measured = run("--quick", "--json", place / "kernels.json")
    require(measured.returncode == 0, "it measures", measured.stdout + measured.stderr)
    report = json.loads((place / "kernels.json").read_text())
    require(list(report) == ["device", "copy_bytes_per_second", "gemm_flops_per_second", "kernels"], "the report is whole")
    ceilings = [report["copy_bytes_per_second"], *report["gemm_flops_per_second"].values()]
    require(list(report["gemm_flops_per_second"]) == ["bf16", "f32"] and all(c > 0 and math.isfinite(c) for c in ceilings),
            "what the device can do is measured", report)
    require(len(kernels) > 20 and {m["name"] for m in report["kernels"]} == kernels, "every kernel is in it",
            kernels ^ {m["name"] for m in report["kernels"]})
    for m in report["kernels"]:
        what = f"{m['name']} {m['shape']} {m['dtype']}"
        peak = report["gemm_flops_per_second"][m["dtype"]]
        bound = max(m["bytes"] / report["copy_bytes_per_second"], m["flops"] / peak)
        require({key: type(value) for key, value in m.items()} == KEYS and m["shape"] and m["seconds"] > 0 and m["bytes"] > 0
                and m["flops"] >= 0 and math.isclose(m["bound_seconds"], bound, rel_tol=1e-6)
                and math.isclose(m["fraction_of_bound"], bound / m["seconds"], rel_tol=1e-6), f"{what}: numbers agree", m)
        require(all(size in measured.stdout for size in (m["name"], m["shape"])), f"{what}: is in the table")

    require(run("--device", "cup").returncode == 2, "an unknown device is refused with status 2")
    unwritable = run("--quick", "--json", place / "nowhere" / "kernels.json")
    require(unwritable.returncode == 4 and "nowhere" in unwritable.stderr, "a report that cannot be written is told",
            unwritable.stderr)
    if os.path.exists("/dev/nvidiactl"):
        print("there is a GPU here: what is said without one is not tested")
    else:
        refused = run("--device", "cuda")
        require(refused.returncode == 3 and len(refused.stderr.splitlines()) == 1 and not refused.stdout,
                "without a GPU one line says so, with status 3", refused.stdout + refused.stderr)
