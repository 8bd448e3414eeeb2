"""checkpoint_read.py TRAIN: h5py reads a checkpoint; its shards cover the exported weights.

Runs in build/venv, where scripts/setup.sh --venv puts h5py, numpy and safetensors.
"""
import json

from harness import OWN_CASES, Case, program, require, skip, workspace

try:
    import h5py
    import numpy as np
    from safetensors.numpy import load_file
except ImportError as error:
    skip(f"{error}; scripts/setup.sh --venv installs it")

train, _ = program()
case = Case(OWN_CASES / "qwen3")
with workspace() as place:
    run = train.run(place / "run", {**case.settings(), "checkpoint.export": "final", "checkpoint.export_dtype": "fp32"}, 3)
    latest = (run / "checkpoints/latest").read_text().strip()
    require(latest == f"step-{case.job['max_steps']:06d}", f"latest names {latest}")
    folder = run / "checkpoints" / latest
    manifest = json.loads((folder / "manifest.json").read_text())
    require(manifest["world_size"] == 3 and manifest["step"] == case.job["max_steps"], "the manifest has ranks and step",
            manifest)
    whole, seen, overlaps = {}, {}, 0
    for rank in range(3):
        with h5py.File(folder / f"shard-{rank:05d}-of-00003.h5") as shard:
            require(shard.attrs["format"] in ("tessera-checkpoint", b"tessera-checkpoint") and shard.attrs["version"] == 1 and
                    shard.attrs["rank"] == rank and shard.attrs["world_size"] == 3, f"shard {rank} says what it is",
                    dict(shard.attrs))
            for name, part in shard["tensors"].items():
                shape, offset, count = (part.attrs[key] for key in ("global_shape", "offset", "count"))
                values = whole.setdefault(name, np.full(int(np.prod(shape)), np.nan, np.float32))
                overlaps += int((~np.isnan(values[offset:offset + count])).sum())
                values[offset:offset + count] = part["master"][:]
                seen[name] = tuple(int(n) for n in shape)
                assert part["exp_avg"].shape == part["exp_avg_sq"].shape == (count,)
    require(overlaps == 0, "no element is in two shards")
    exported = load_file(run / "final/model.safetensors")
    require(set(exported) == set(whole), "the checkpoint has the tensors of the exported model", set(exported) ^ set(whole))
    require(all(np.array_equal(exported[name], whole[name].reshape(seen[name])) for name in whole),
            "the shards together are the exported weights, bit for bit")
    norms = case.expected["final_weights_l2"]
    require(all(abs(np.linalg.norm(whole[name].astype(np.float64)) - norms[name]) < 1e-4 * norms[name] for name in norms),
            "the final weights have the norms of the reference")
