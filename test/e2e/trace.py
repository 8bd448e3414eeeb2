"""trace.py TRAIN [SECTION.KEY=VALUE …]: log.trace shows what every rank's streams did, in a form that trace viewers read."""
import json
from collections import defaultdict

from harness import OWN_CASES, Case, metrics, program, require, workspace

train, more = program()
SLACK = 2  # µs: doubles tell the time since 1970 to a quarter of one, a GPU its events to about a half
RANKS, STEPS = 2, 3
with workspace() as place:
    case = Case(OWN_CASES / "llama")
    layers = json.loads((case.folder / "model" / "config.json").read_text())["num_hidden_layers"]
    file = place / "trace.json"
    train.run(place / "run", {**case.settings(), "train.max_steps": STEPS, "log.trace": file,
                              **dict(setting.split("=") for setting in more)}, RANKS)
    events = json.loads(file.read_text())["traceEvents"]
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    ranks = {e["pid"] for e in events if e["name"] == "process_name"}
    require(ranks == set(range(RANKS)), "each rank is a process of the trace", ranks)

    stretches = defaultdict(list)
    for e in (e for e in events if e["ph"] == "X"):
        stretches[e["pid"], names[e["pid"], e["tid"]]].append((e["name"], e["ts"], e["ts"] + e["dur"]))
    for rank in ranks:
        compute, communication = stretches[rank, "compute"], stretches[rank, "communication"]
        gathered = {name for name, _, _ in communication if name.startswith("all_gather")}
        wanted = {f"all_gather(layer {i}) of step {k}" for i in range(layers) for k in range(1, STEPS + 1)}
        require(wanted <= gathered, f"rank {rank}: every gather of every layer is there", wanted - gathered)
        reduced = {name for name, _, _ in communication if name.startswith("reduce_scatter(layer")}
        require(len(reduced) == layers * STEPS, f"rank {rank}: every reduction of a layer is there", reduced)
        require({"forward", "backward", "optimizer", "linear_forward", "attention_backward"} <= {n for n, _, _ in compute},
                f"rank {rank}: phases and kernels are there", {n for n, _, _ in compute})
        forwards = [s for s in compute if s[0] == "forward"]
        kernels = [s for s in compute if s[0] == "gated_forward"]
        inside = sum(any(f[1] - 1 <= k[1] and k[2] <= f[2] + 1 for f in forwards) for k in kernels)
        require(inside >= layers * STEPS, f"rank {rank}: the kernels of a pass lie within it", (inside, forwards[:2], kernels[:2]))
        require(all(begin <= end for _, begin, end in compute + communication), f"rank {rank}: time goes forwards")
        micro_batches = len(forwards) // STEPS
        updates = [s for s in compute if s[0] == "optimizer"]
        require(len(updates) == STEPS, f"rank {rank}: every update is there, the last one too")
        for k in range(1, STEPS + 1):
            first = (k - 1) * micro_batches
            backward = [s[1] for s in compute if s[0] == "backward"][first]
            # Gathers go ahead of the forward pass: what they wait for is the update that made the weights.
            made = updates[k - 2][2] if k > 1 else 0
            update = updates[k - 1][1]
            reductions = [s for s in communication if s[0].startswith("reduce_scatter") and s[0].endswith(f"of step {k}")]
            gathers = [s for s in communication if s[0].startswith("all_gather(layer") and s[0].endswith(f"of step {k}")]
            require(all(backward - SLACK <= begin and end <= update + SLACK for _, begin, end in reductions),
                    f"rank {rank}: step {k}'s reductions lie between its backward pass and its update", (backward, update, reductions))
            require(all(made - SLACK <= begin and end <= update + SLACK for _, begin, end in gathers),
                    f"rank {rank}: step {k}'s gathers lie between the updates", (made, update, gathers))
    rows = [row for row in metrics(place / "run") if "loss" in row]
    require(all(0 < row["comm_wait_seconds"] <= row["seconds"] * 1.01 for row in rows), "compute waited for less than a step",
            [(row["comm_wait_seconds"], row["seconds"]) for row in rows])
