"""gpu-check.json, gpu-check.md for people, and logs.tar.gz.  Written anew after every stage, so that a run that is killed
leaves what it has."""
import json
import tarfile

from .targets import LEFT_OUT

REHEARSED = "REHEARSED ON A CPU with shrunk shapes: this tries the script, no figure here is a GPU's"
WRONG = ("failed", "timed_out")
NO_TIME = "not run, the time for the whole was over; try --stages with it alone"


def write(folder, about, results):
    """about: date, machine, versions …; results: of the stages that are done."""
    whole = {**about, "left_out": left_out(about, results), "stages": [result.as_json() for result in results]}
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


def left_out(about, results):
    """{stage: why}: those that a call does not have, and those that it has not come to."""
    done = {result.name for result in results if NO_TIME not in result.summary}
    asked_for = about["stages_asked_for"]
    return {stage: "no time" if stage in asked_for else "not of this call" for stage in about["stages_there_are"]
            if stage not in done}


def left_out_in_words(about, results):
    why = left_out(about, results)
    groups = [f"{', '.join(stage for stage in why if why[stage] == reason)} ({reason})" for reason in sorted(set(why.values()))]
    return f"Left out: {'; '.join(groups) or 'nothing'}"


def markdown(about, results):
    details = {result.name: result.details for result in results}
    parts = [_head(about), f"{_stages(results)}\n{left_out_in_words(about, results)}.\n"]
    behind = " (rehearsed on a CPU)" if about["rehearsed"] else ""
    if "measured" in details.get("kernels", {}):
        parts.append(f"## Kernels against the model{behind}\n\n{_kernels(details['kernels']['measured'])}")
    for stage in ("step", "training"):
        shapes = details.get(stage, {}).get("shapes", {})
        if any("model" in found for found in shapes.values()):
            parts.append(f"## Updates against the model{behind}\n\n{_updates(shapes)}")
        if shapes:
            parts.append(f"## {stage.capitalize()}{behind}\n\n{_training(shapes)}")
    if "targets" in details.get("training", {}):
        parts.append(f"## Targets{behind}\n\n{_targets(details['training']['targets'])}")
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
    rows = [[k["name"], _cell(k["shape"]), k["dtype"], _micro(k["seconds"]), _micro(k["predicted_seconds"]),
             f"{k['measured_over_predicted']:.2f}", f"{k['calls_of_update']:.0f}" if k["calls_of_update"] else "–",
             _milli(k["lost_seconds_of_update"] if k["calls_of_update"] else None)] for k in measured["kernels"]]
    heads = ["kernel", "shape", "type", "µs", "predicted, µs", "measured/predicted", "calls an update", "lost an update, ms"]
    return ("Predicted (scripts/gpu_check/roofline.py): the larger of two times, a call's bytes at the copy bandwidth that was "
            f"measured,\n{measured['copy_bytes_per_second'] / 1e9:.0f} GB/s, and its operations at the GEMM peak that was "
            f"measured, {', '.join(peaks)}; and a launch,\n{_micro(measured['launch_seconds'])} µs. What an update of "
            f"{measured['shape']} loses most in comes first; behind it stands what an update does not call.\n\n" +
            _table(heads, rows))


def _updates(shapes):
    found = sorted(((name, each["model"]) for name, each in shapes.items() if "model" in each), reverse=True,
                   key=lambda pair: pair[1]["lost_seconds"])
    parts = list(found[0][1]["predicted_parts"])
    heads = ["model", "ms", "predicted, ms", "measured/predicted", "lost, ms", "kernels alone, ms", "predicted, tokens/s",
             "predicted, C-MFU", *parts, "communication"]
    rows = [[name, _milli(m["seconds"]), _milli(m["predicted_seconds"]), f"{m['measured_over_predicted']:.2f}",
             _milli(m["lost_seconds"]), _milli(m["kernels_alone_seconds"]), _number(m["predicted_tokens_per_second"]),
             _percent(m["predicted_c_mfu"]), *(_part(m, part) for part in parts),
             _milli(m["predicted_communication_seconds"])] for name, m in found]
    return ("An update's calls (scripts/gpu_check/roofline.py) at the speeds above, full-length documents, the most time lost "
            "first. Kernels alone: the\nsame calls at the times that the kernels took by themselves; what an update takes "
            "beyond that is lost between them. The parts: predicted ms,\nand behind them those of the kernels alone; one rank "
            "has nothing to communicate.\n\n" + _table(heads, rows))


def _part(model, part):
    alone = model["kernels_alone_parts"]
    return _milli(model["predicted_parts"][part]) + (f" ({_milli(alone[part])})" if alone else "")


def _training(shapes):
    heads = ["model", "tokens/s", "C-MFU", "PyTorch, tokens/s", "PyTorch, C-MFU", "ratio (rounds)", "memory, GiB",
             "of the plan", "GPU memory in use, GiB", "PyTorch, GiB", "packed, tokens/s", "of full-length"]
    errors = [f"- {name}: {error}\n" for name, found in shapes.items()
              for error in [*found["errors"], *([LEFT_OUT] if found["left_out"] else [])]]
    return (_how_trained(list(shapes.values())) + _table(heads, [_row(name, found) for name, found in shapes.items()]) +
            ("\nWhat did not run:\n\n" + "".join(errors) if errors else ""))


def _how_trained(shapes):
    peers = [found["peer"] for found in shapes if "peer" in found]
    told = "Without PyTorch beside it.\n\n"
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


def _micro(seconds):
    return f"{seconds * 1e6:.1f}"


def _milli(seconds):
    return "–" if seconds is None else f"{seconds * 1e3:.2f}"


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
