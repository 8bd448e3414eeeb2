"""gpu-check.json, and gpu-check.md for people.  Written anew after every stage, so that a run that is killed leaves what it has."""
import json

REHEARSED = "REHEARSED ON A CPU with shrunk shapes: this tries the script, no figure here is a GPU's"


def write(folder, about, results):
    """about: date, machine, versions …; results: of the stages that are done."""
    whole = {**about, "stages": [result.as_json() for result in results]}
    for name, text in (("gpu-check.json", json.dumps(whole, indent=1) + "\n"), ("gpu-check.md", markdown(about, results))):
        unfinished = folder / f"{name}.part"
        unfinished.write_text(text)
        unfinished.replace(folder / name)


def markdown(about, results):
    of = {result.name: result for result in results}
    parts = [_head(about), _stages(results)]
    if "measured" in of.get("kernels", _Nothing).details:
        parts.append(_kernels(of["kernels"].details["measured"], about["rehearsed"]))
    if "shapes" in of.get("training", _Nothing).details:
        parts += [_training(of["training"].details["shapes"], about["rehearsed"]), _targets(of["training"].details["targets"])]
    parts += [_failure(result) for result in results if result.status in ("failed", "timed_out")]
    return "\n".join(filter(None, parts))


class _Nothing:
    details = {}


def _head(about):
    versions = " · ".join(f"{name} {version}" for name, version in about["versions"].items())
    gpu = about["device"]
    return (f"# GPU check{': rehearsal' if about['rehearsed'] else ''}\n\n"
            + (f"**{REHEARSED}.**\n\n" if about["rehearsed"] else "")
            + f"`{about['command']}`, {about['date']}, commit {about['commit'] or 'not known'}.\n"
            f"Device: {gpu.get('name', 'no GPU found')}, driver {gpu.get('driver', 'none')}, "
            f"{gpu.get('memory_bytes', 0) / 2**30:.1f} GiB, power limit {gpu.get('power_limit', '?')} W, {about['cores']} cores.\n"
            f"Libraries: {versions or 'none found'}.\n")


def _table(heads, rows):
    return "".join(f"| {' | '.join(row)} |\n" for row in [heads, ["---"] * len(heads), *rows])


def _stages(results):
    rows = [[r.name, r.status.replace("_", " "), f"{r.seconds:.1f}", _cell(r.summary)] for r in results]
    return "## Stages\n\n" + _table(["stage", "result", "seconds", "what was seen"], rows)


def _cell(text):
    return " ".join(text.replace("|", "\\|").split())


def _kernels(measured, rehearsed):
    rates = ", ".join(f"{rate / 1e12:.1f} TFLOP/s ({dtype})" for dtype, rate in measured["gemm_flops_per_second"].items())
    rows = [[k["name"], _cell(k["shape"]), k["dtype"], f"{k['seconds'] * 1e6:.1f}", f"{k['bound_seconds'] * 1e6:.1f}",
             f"{100 * k['fraction_of_bound']:.0f} %"] for k in measured["kernels"]]
    return (f"## Kernels against their bound{' (rehearsed on a CPU)' if rehearsed else ''}\n\n"
            f"The bound of a kernel is the larger of its bytes at the measured copy bandwidth, {measured['copy_bytes_per_second'] / 1e9:.0f} GB/s,\n"
            f"and its operations at the measured GEMM peak: {rates}.\n\n"
            + _table(["kernel", "shape", "type", "µs", "bound, µs", "of the bound"], rows))


def _training(shapes, rehearsed):
    heads = ["model", "tokens/s", "C-MFU", "PyTorch, tokens/s", "PyTorch's C-MFU", "ratio (rounds)", "memory", "of the plan", "PyTorch's memory",
             "packed, tokens/s", "packed / full"]
    rows = [[_named(name, found), *_figures(found)] for name, found in shapes.items()]
    return (f"## Training{' (rehearsed on a CPU)' if rehearsed else ''}\n\n" + _how_trained(shapes) + _table(heads, rows) + _errors(shapes))


def _named(name, found):
    return f"{name}{' (' + found['note'] + ')' if found['note'] else ''}, {found['micro_batch']} × {found['accumulation']}"


def _how_trained(shapes):
    peer = next((found["peer"] for found in shapes.values() if "peer" in found), None)
    length = next(iter(shapes.values()))["sequence_len"]
    compiled = "every layer and the loss by torch.compile" if peer and peer["compiled"] else "eager, without torch.compile"
    attention = ", ".join(sorted({found["peer"]["attention"] for found in shapes.values() if "peer" in found}))
    told = (f"PyTorch: {peer['versions']}; transformers' model, fp32 weights and moments under bf16 autocast, {compiled},\n"
            f"attention {attention}, fused AdamW (scripts/gpu_check/peer.py), in turns with `train`." if peer else "PyTorch was not there.")
    return (f"bf16, random weights and tokens, sequences of {length} tokens, micro-batch × accumulation behind the model's name,\n"
            "nothing recomputed by either program; medians of steps, the first ones left out. C-MFU counts 6·(weights without the\n"
            f"embedding table, with the head) + 6·L·C·T a token, over 989.4 TFLOP/s. Packed: documents of log-normal lengths.\n{told}\n\n")


def _figures(found):
    peer = found.get("peer", {})
    ratios = found.get("ratios", [])
    ratio = found.get("ratio", found.get("ratio_to_eager"))
    return [_number(found.get("tokens_per_second")), _percent(found.get("c_mfu")), _number(peer.get("tokens_per_second")),
            _percent(peer.get("c_mfu")), "–" if ratio is None else f"{ratio:.2f} ({', '.join(f'{r:.2f}' for r in ratios)})",
            _gib(found.get("peak_bytes")), _percent(found.get("memory_ratio")), _gib(peer.get("peak_bytes")),
            _number(found.get("packed_tokens_per_second")), _percent(found.get("packed_ratio"))]


def _number(value):
    return "–" if value is None else f"{value:,.0f}"


def _percent(value):
    return "–" if value is None else f"{100 * value:.1f} %"


def _gib(value):
    return "–" if value is None else f"{value / 2**30:.2f} GiB"


def _errors(shapes):
    errors = [f"- {name}: {error}\n" for name, found in shapes.items() for error in found["errors"]]
    return "\nNot measured:\n\n" + "".join(errors) if errors else ""


def _targets(targets):
    rows = [[row["claim"], row["required"], "–" if row["value"] is None else f"{row['value']:.3f}", row["verdict"]] for row in targets]
    return "## Targets\n\n" + _table(["claim", "required", "seen", "verdict"], rows)


def _failure(result):
    """The end of what the stage's failed programs printed."""
    parts = [(result.name, result.details.get("output"))]
    parts += [(check["name"], check.get("output")) for check in result.details.get("checks", []) if check["status"] in ("failed", "timed_out")]
    blocks = [f"\n{name}:\n\n```\n{output.strip()[-1500:]}\n```\n" for name, output in parts if output]
    return f"## What went wrong in {result.name}\n\n{result.summary}\n" + "".join(blocks)
