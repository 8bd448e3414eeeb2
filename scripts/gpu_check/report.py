"""gpu-check.json, gpu-check.md for people, and logs.tar.gz.  Written anew after every stage, so that a run that is killed
leaves what it has."""
import json
import tarfile

from .targets import LEFT_OUT

REHEARSED = "REHEARSED ON A CPU with shrunk shapes: this tries the script, no figure here is a GPU's"
WRONG = ("failed", "timed_out")


def write(folder, about, results):
    """about: date, machine, versions …; results: of the stages that are done."""
    whole = {**about, "stages": [result.as_json() for result in results]}
    for name, text in {"gpu-check.json": json.dumps(whole, indent=1) + "\n",
                       "gpu-check.md": markdown(about, results)}.items():
        unfinished = folder / f"{name}.part"
        unfinished.write_text(text)
        unfinished.replace(folder / name)


def pack_logs(folder, logs):
    """Into one file: a machine that is lent may give few of them back."""
    unfinished = folder / "logs.tar.gz.part"
    with tarfile.open(unfinished, "w:gz") as archive:
        archive.add(logs, "logs")
    unfinished.replace(folder / "logs.tar.gz")


def markdown(about, results):
    details = {result.name: result.details for result in results}
    parts = [_head(about), _stages(results)]
    behind = " (rehearsed on a CPU)" if about["rehearsed"] else ""
    if "measured" in details.get("kernels", {}):
        parts.append(f"## Kernels against their bound{behind}\n\n{_kernels(details['kernels']['measured'])}")
    if "shapes" in details.get("training", {}):
        parts += [f"## Training{behind}\n\n{_training(details['training']['shapes'])}",
                  f"## Targets{behind}\n\n{_targets(details['training']['targets'])}"]
    return "\n".join(parts + [_what_went_wrong(result) for result in results if result.status in WRONG])


def _head(about):
    gpu = about["device"]
    title = "# GPU check: rehearsal" if about["rehearsed"] else "# GPU check"
    warning = [f"**{REHEARSED}.**", ""] if about["rehearsed"] else []
    versions = " · ".join(f"{name} {version}" for name, version in about["versions"].items())
    device = (f"{gpu['name']}, {gpu['memory_bytes'] / 2**30:.1f} GiB, power limit {gpu['power_limit']} W, "
              f"driver {gpu['driver']}" if gpu else "no GPU found")
    run = f"`{about['command']}`, {about['date']}, commit {about['commit'] or 'not known'}."
    return "\n".join([title, "", *warning, run,
                      f"Device: {device}; {about['cores']} cores.", f"Libraries: {versions or 'none found'}.", ""])


def _table(heads, rows):
    return "".join(f"| {' | '.join(row)} |\n" for row in [heads, ["---"] * len(heads), *rows])


def _stages(results):
    rows = [[r.name, r.status.replace("_", " "), f"{r.seconds:.1f}", _cell(r.summary)] for r in results]
    return "## Stages\n\n" + _table(["stage", "result", "seconds", "what was seen"], rows)


def _cell(text):
    return " ".join(text.replace("|", "\\|").split())


def _kernels(measured):
    peaks = [f"{rate / 1e12:.3g} TFLOP/s ({dtype})" for dtype, rate in measured["gemm_flops_per_second"].items()]
    rows = [[k["name"], _cell(k["shape"]), k["dtype"], f"{k['seconds'] * 1e6:.1f}", f"{k['bound_seconds'] * 1e6:.1f}",
             f"{100 * k['fraction_of_bound']:.0f} %"] for k in measured["kernels"]]
    return ("The bound of a kernel is the larger of two times: its bytes at the copy bandwidth that was measured, "
            f"{measured['copy_bytes_per_second'] / 1e9:.0f} GB/s,\nand its operations at the GEMM peak that was measured: "
            f"{', '.join(peaks)}.\n\n" + _table(["kernel", "shape", "type", "µs", "bound, µs", "of the bound"], rows))


def _training(shapes):
    heads = ["model", "tokens/s", "C-MFU", "PyTorch, tokens/s", "PyTorch, C-MFU", "ratio (rounds)", "memory, GiB",
             "of the plan", "GPU memory in use, GiB", "PyTorch, GiB", "packed, tokens/s", "of full-length"]
    errors = [f"- {name}: {error}\n" for name, found in shapes.items()
              for error in [*found["errors"], *([LEFT_OUT] if found["left_out"] else [])]]
    return (_how_trained(list(shapes.values())) + _table(heads, [_row(name, found) for name, found in shapes.items()]) +
            ("\nWhat did not run:\n\n" + "".join(errors) if errors else ""))


def _how_trained(shapes):
    peers = [found["peer"] for found in shapes if "peer" in found]
    told = "PyTorch was not there.\n\n"
    if peers:
        compiled = "every layer and the loss compiled" if peers[0]["compiled"] else "eager, without torch.compile"
        attention = ", ".join(sorted({peer["attention"] for peer in peers}))
        told = (f"PyTorch: {peers[0]['versions']}; fp32 weights, gradients and moments under bf16 autocast\n(all of them bf16 "
                f"where the table says so), {compiled}, {attention},\nfused AdamW (scripts/gpu_check/peer.py), in turns "
                "with `train`; its memory is what it allocated.\n\n")
    return (f"bf16, random weights and tokens, sequences of {shapes[0]['sequence_len']} tokens, micro-batch × "
            "accumulation behind the name, nothing\nrecomputed; medians of steps, the first ones left out. C-MFU: "
            "6·(weights without the embedding table, with the head)\n+ 6·L·C·T a token, over 989.4 TFLOP/s. Packed: "
            "documents of log-normal lengths. GPU memory in use: what nvidia-smi\nsays meanwhile, with CUDA's context, the "
            f"libraries and whatever else runs there.\n{told}")


def _row(name, found):
    peer, ratio = found.get("peer", {}), found.get("ratio", found.get("ratio_to_eager"))
    rounds = ", ".join(f"{each:.2f}" for each in found.get("ratios", []))
    note = f" ({found['note']})" if found["note"] else ""
    bf16 = " (bf16 weights)" if "bf16" in peer.get("parameters", "") else ""
    return [f"{name}{note}, {found['micro_batch']} × {found['accumulation']}",
            _number(found.get("tokens_per_second")), _percent(found.get("c_mfu")),
            _number(peer.get("tokens_per_second")) + bf16, _percent(peer.get("c_mfu")),
            "–" if ratio is None else f"{ratio:.2f} ({rounds})",
            _gib(found.get("peak_bytes")), _percent(found.get("memory_ratio")),
            _gib(found.get("memory_in_use")), _gib(peer.get("peak_bytes")),
            _number(found.get("packed_tokens_per_second")), _percent(found.get("packed_ratio"))]


def _number(value):
    return "–" if value is None else f"{value:,.0f}"


def _percent(value):
    return "–" if value is None else f"{100 * value:.1f} %"


def _gib(value):
    return "–" if value is None else f"{value / 2**30:.2f}"


def _targets(targets):
    rows = [[row["claim"], row["required"], "–" if row["value"] is None else f"{row['value']:.3f}", row["verdict"]]
            for row in targets]
    return _table(["claim", "required", "seen", "verdict"], rows)


def _what_went_wrong(result):
    """With the end of what the programs printed that failed."""
    checks = [check for check in result.details.get("checks", []) if check["status"] in WRONG]
    runs = [(f"{name} {program}", run.get("output")) for name, found in result.details.get("shapes", {}).items()
            for program, of_program in found["runs"].items() for run in of_program]
    printed = [(result.name, result.details.get("output")), *((c["name"], c.get("output")) for c in checks), *runs]
    blocks = [f"\n{name}:\n\n```\n{output.strip()[-1500:]}\n```\n" for name, output in printed if output]
    return f"## What went wrong in {result.name}\n\n{result.summary}\n" + "".join(blocks)
