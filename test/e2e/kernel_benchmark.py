"""kernel_benchmark.py BENCH_KERNELS: it measures every kernel of kernels/*.h, counts the calls of any sizes, and writes
both as JSON."""
import json
import math
import os
import re
import subprocess
import sys
from collections import Counter

from harness import ROOT, require, skip, workspace

if sys.version_info < (3, 10):
    skip("scripts/gpu-check needs Python 3.10")
from gpu_check.roofline import by_call, calls_of_update, sizes_of  # noqa: E402
from gpu_check.shapes import SHAPES  # noqa: E402

PROGRAM = sys.argv[1]
COUNTED = {"name": str, "call": str, "shape": str, "dtype": str, "bytes": float, "flops": float}
KEYS = {**COUNTED, "seconds": float, "bound_seconds": float, "fraction_of_bound": float}
REPORT = ["device", "sizes", "copy_bytes_per_second", "gemm_flops_per_second", "launch_seconds", "kernels"]
SIZES = {"loss_rows", "shard", "C", "H", "G", "D", "F", "V", "T", "longest"}
kernels = {name for header in (ROOT / "kernels").glob("*.h")
           for name in re.findall(r"virtual void enqueue_(\w+)\(Stream&", header.read_text())}


def run(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=300)


def counted(place, *sizes):
    done = run("--count", *sizes, "--json", place / "counted.json")
    require(done.returncode == 0, "calls are counted", done.stdout + done.stderr)
    return json.loads((place / "counted.json").read_text())


def a_call_of_any_size_is_counted(place):
    report = counted(place, "-T", 8, "--longest", 4, "-C", 16, "-H", 2, "-G", 1, "-D", 8, "-F", 32, "-V", 64)
    require(list(report) == ["device", "sizes", "kernels"] and
            all({key: type(value) for key, value in m.items()} == COUNTED for m in report["kernels"]), "nothing is measured",
            report)
    require(report["sizes"]["T"] == 8 and report["sizes"]["longest"] == 4, "the sizes are those asked for", report["sizes"])
    by_call = {(m["name"], m["call"], m["dtype"]): m for m in report["kernels"]}
    norm, attention, product = (by_call[name, call, "bf16"] for name, call in (
        ("rmsnorm_forward", ""), ("attention_forward", "full documents"), ("linear_backward_weight", "o, accumulated")))
    require(norm["bytes"] == 2 * (8 * 16 + 16 + 8 * 16) + 4 * 8, "rmsnorm reads x and w, writes y and a number a row", norm)
    # q, k and v, and out; a log-sum-exp a head; where the two documents begin and end
    require(attention["bytes"] == 2 * (8 * 32 + 8 * 16) + 4 * 8 * 2 + 4 * 3 and attention["flops"] == 2 * 2 * (2 * 10) * 16,
            "two documents of four tokens have ten pairs each, in two products over all heads", attention)
    require(product["bytes"] == 2 * (8 * 16 + 8 * 16) + 2 * 4 * 16 * 16 and product["flops"] == 2 * 8 * 16 * 16,
            "a gradient that is added to is read too", product)


def an_update_computes_what_its_weights_say(place):
    """The products of all calls that scripts/gpu_check/roofline.py counts are 6 operations a token and weight."""
    for shape in SHAPES:
        sizes = [word for letter, size in sizes_of(shape).items()
                 for word in (f"-{letter}" if len(letter) == 1 else f"--{letter}", size)]
        report = counted(place, "--device", "cuda", *sizes)
        kernels = by_call(report["kernels"])
        calls = sum(calls_of_update(shape, report["sizes"]).values(), Counter())
        lacking = calls.keys() - kernels.keys()
        require(not lacking, f"{shape.name}: every call of an update is counted", lacking)

        def operations(of):
            return sum(count * kernels[call]["flops"] for call, count in calls.items() if call[0].startswith(of))

        C, L = shape.of("hidden_size"), shape.of("num_hidden_layers")
        bias = (shape.of("num_attention_heads") + 2 * shape.of("num_key_value_heads")) * shape.head_dim
        a_layer = shape.layer_weights - 2 * C - (bias if shape.of("model_type") == "qwen2" else 0)
        require(math.isclose(operations("linear_"), 6 * shape.tokens * (L * a_layer + shape.table_weights)),
                f"{shape.name}: an update's products are those of its matrices", operations("linear_"))
        pairs = shape.tokens * (shape.sequence_len + 1) / 2
        width = shape.of("num_attention_heads") * shape.head_dim
        require(math.isclose(operations("attention_"), L * (2 + 5) * 2 * pairs * width),
                f"{shape.name}: and of attention, two forward and five backward", operations("attention_"))


with workspace() as place:
    measured = run("--quick", "--json", place / "kernels.json")
    require(measured.returncode == 0, "it measures", measured.stdout + measured.stderr)
    report = json.loads((place / "kernels.json").read_text())
    require(list(report) == REPORT and set(report["sizes"]) == SIZES, "the report is whole", report)
    ceilings = [report["copy_bytes_per_second"], report["launch_seconds"], *report["gemm_flops_per_second"].values()]
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

    alone = run("--quick", "--ceilings", "--json", place / "ceilings.json")
    told = json.loads((place / "ceilings.json").read_text())
    require(alone.returncode == 0 and list(told) == list(report) and {m["call"] for m in told["kernels"]} == {"", "square"},
            "what the device can do is measured alone where that is asked for", alone.stdout)
    a_call_of_any_size_is_counted(place)
    an_update_computes_what_its_weights_say(place)

    require(run("--device", "cup").returncode == 2, "an unknown device is refused with status 2")
    unwritable = run("--quick", "--json", place / "nowhere" / "kernels.json")
    require(unwritable.returncode == 4 and "nowhere" in unwritable.stderr, "a report that cannot be written is an error",
            unwritable.stderr)
    if os.path.exists("/dev/nvidiactl"):
        print("there is a GPU here: what is said without one is not tested")
    else:
        refused = run("--device", "cuda")
        require(refused.returncode == 3 and len(refused.stderr.splitlines()) == 1 and not refused.stdout,
                "without a GPU one line says so, with status 3", refused.stdout + refused.stderr)
