"""export_reload.py TRAIN: transformers opens what is exported and computes the loss that the run measured last.

Runs in build/venv, where scripts/setup.sh --torch puts transformers.
"""
import json
import os

from harness import OWN_CASES, Case, metrics, program, require, skip, workspace

os.environ["HF_HUB_OFFLINE"] = "1"
try:
    import torch
    from transformers import AutoModelForCausalLM
except ImportError as error:
    skip(f"{error}; scripts/setup.sh --torch installs it")


def loss_in_transformers(folder, case):
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    require(not any(len(names) for names in info.values()), f"{case.name}: transformers finds every tensor, and no other", info)
    total = count = 0
    for line in (case.folder / "train.jsonl").read_text().splitlines()[:4]:
        sample = json.loads(line)
        with torch.no_grad():
            logits = model(torch.tensor([sample["input_ids"]])).logits[0, :-1]
        labels = torch.tensor(sample["labels"][1:])
        total += torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="sum").item()
        count += int((labels != -100).sum())
    return total / count


train, _ = program()
with workspace() as place:
    for name, changes, rtol in (("llama-linear-bias", {}, 2e-5), ("llama-rope3-tied", {"checkpoint.max_shard_bytes": 30000}, 2e-5),
                                ("qwen3", {}, 2e-5), ("mistral", {"checkpoint.export_dtype": "bf16"}, 5e-3)):
        case = Case(OWN_CASES / name)
        settings = {**case.settings(), "checkpoint.export": "final", "checkpoint.export_dtype": "fp32",
                    "eval_dataset.first.path": case.folder / "train.jsonl", "eval_dataset.first.type": "tokenized",
                    "eval_dataset.first.limit": 4, **changes}
        run = train.run(place / name, settings, 3)
        want = [row["eval_loss"] for row in metrics(run) if "eval_loss" in row][-1]
        got = loss_in_transformers(run / "final", case)
        require(abs(got - want) <= rtol * want, f"{name}: the exported model has the loss of the trained one", (got, want))
        shards = len(list((run / "final").glob("*.safetensors")))
        require((shards > 1) == ("checkpoint.max_shard_bytes" in changes), f"{name}: {shards} safetensors files")
