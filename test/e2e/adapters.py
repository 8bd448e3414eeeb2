"""adapters.py TRAIN CASE/expected.json …: what a job with an adapter exports is what PEFT makes of it.

The adapter has the tensors of the case's end; peft loads it, and gives the logits of the model that `export` merges; a resumed
run exports the same bits, and on another number of ranks goes on along the curve; an adapter that is exported is where another job
goes on.  Runs in build/venv (scripts/setup.sh --torch).
"""
import json
import os
from pathlib import Path

from harness import Case, curve, metrics, program, require, require_reference, skip, workspace

os.environ["HF_HUB_OFFLINE"] = "1"
try:
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM
except ImportError as error:
    skip(f"{error}; scripts/setup.sh --torch installs it")

MIDDLE = 6

train, cases = program()
if not cases:
    skip("no cases are here")


def require_tensors(case, folder):
    """Norms and first elements, by PEFT's names, where the case has them."""
    found, key = load_file(folder / "adapter_model.safetensors"), "adapter_l2"
    expected = {name.replace("modules_to_save.", "").replace("magnitude_vector.weight", "magnitude_vector"): value
                for name, value in case.expected.get(key, {}).items()}
    if not expected:
        return
    require(set(expected) <= set(found), f"{case.name}: the adapter has every tensor", sorted(set(expected) ^ set(found)))
    for name, value in expected.items():
        norm, first = found[name].norm().item(), found[name].flatten()[:8].tolist()
        require(abs(norm - value["l2"]) <= 1e-3 * value["l2"], f"{case.name}: {name} has its norm", (norm, value["l2"]))
        require(all(abs(a - b) <= 1e-3 * value["l2"] for a, b in zip(first, value["first8"])), f"{case.name}: and first elements",
                (first, value["first8"]))


def logits(model, case):
    sample = json.loads((case.folder / "train.jsonl").read_text().splitlines()[0])
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([sample["input_ids"]]), use_cache=False).logits[0].float()


def base_of(case):
    return AutoModelForCausalLM.from_pretrained(case.folder / "model", dtype=torch.float32)


def require_peft(case, place, run):
    train.alone("export", run / "job.ini", "checkpoint.export_adapter=merged", f"checkpoint.export_dir={place / 'merged'}")
    train.alone("export", run / "job.ini", "checkpoint.export_adapter=merged", "checkpoint.merge_dequantized=true",
                f"checkpoint.export_dir={place / 'merged-as-trained'}")
    merged = logits(AutoModelForCausalLM.from_pretrained(place / "merged", dtype=torch.float32), case)
    with_adapter = logits(PeftModel.from_pretrained(base_of(case), run / "final"), case)
    require((merged - with_adapter).abs().max() < 1e-4, f"{case.name}: peft loads the adapter, and gives the merged model's logits",
            (merged - with_adapter).abs().max())
    if "merged_logits" in case.expected:  # of a quantised base as it is trained
        top = logits(AutoModelForCausalLM.from_pretrained(place / "merged-as-trained", dtype=torch.float32), case)[-1].topk(5)
        wanted = case.expected["merged_logits"]
        require(top.indices.tolist() == wanted["top5_ids"], f"{case.name}: the five largest logits are the case's")
        require(all(abs(a - b) < 1e-3 for a, b in zip(top.values.tolist(), wanted["top5_values"])), f"{case.name}: and their values")


def require_dora_begins_as_lora(case, place, settings):
    """A new DoRA adapter changes nothing, as a new LoRA adapter: its magnitudes are the norms of the rows that are multiplied,
    which on a quantised base are not those of the files."""
    new = {**{key: value for key, value in settings.items() if not key.startswith("adapter.")}, "adapter.type": "lora",
           "adapter.lora_r": 4, "adapter.lora_alpha": 8, "train.max_steps": 1, "checkpoint.export": "never"}
    losses = {}
    for dora in ("false", "true"):
        for base in ("none", "nf4", "int8"):
            run = train.run(place / f"new-{dora}-{base}", {**new, "adapter.use_dora": dora, "model.quantization": base,
                                                           "model.double_quantization": None}, 2)
            losses[dora, base] = metrics(run)[0]["eval_loss"]
    for base in ("none", "nf4", "int8"):
        require(abs(losses["true", base] - losses["false", base]) < 2e-6 * losses["false", base],
                f"{case.name}: a new DoRA adapter on {base} changes nothing", losses)
    require(abs(losses["true", "nf4"] - losses["true", "none"]) > 1e-4, f"{case.name}: where quantisation does", losses)


for case in (Case(Path(expected).parent) for expected in cases if Path(expected).exists()):
    with workspace() as place:
        settings = {**case.settings(), "checkpoint.export": "final", "checkpoint.export_dtype": "fp32", "checkpoint.save_steps": MIDDLE,
                    "eval_dataset.own.path": case.folder / "train.jsonl", "eval_dataset.own.type": "tokenized", "eval.max_samples": 4}
        whole = train.run(place / "whole", settings, 2)
        require_reference(case, whole, f"{case.name}: the curve")
        require_tensors(case, whole / "final")
        require_peft(case, place, whole)

        middle = {**settings, "checkpoint.resume": whole / f"checkpoints/step-{MIDDLE:06d}"}
        same = train.run(place / "same", middle, 2)
        require(curve(same) == curve(whole)[MIDDLE:], f"{case.name}: resumed, every loss and gradient norm has the same bits")
        require((same / "final/adapter_model.safetensors").read_bytes() == (whole / "final/adapter_model.safetensors").read_bytes(),
                f"{case.name}: the adapter has the same bits")
        for strategy in ("replicated", "sharded"):
            other = train.run(place / f"other-{strategy}", {**middle, "shard.adapter_strategy": strategy}, 3)
            require_reference(case, other, f"{case.name}: 2 ranks, then 3, {strategy}: the same curve", first=MIDDLE + 1)

        if case.job.get("load_in_4bit") and not case.job.get("stored_in_4bit"):
            require_dora_begins_as_lora(case, place, settings)
        again = train.run(place / "again", {**settings, "adapter.base_adapter": whole / "final", "train.max_steps": 1}, 1)
        ended, began = ([row["eval_loss"] for row in metrics(run) if "eval_loss" in row] for run in (whole, again))
        require(abs(began[0] - ended[-1]) < 1e-5 * ended[-1],
                f"{case.name}: a job that begins with the exported adapter begins where this one ended", (began, ended))
