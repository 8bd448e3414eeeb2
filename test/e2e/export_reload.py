"""export_reload.py TRAIN: transformers opens what is exported, computes the loss that the run measured last, and continues a
text with the tokens that `generate` takes.

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


VOCABULARY = [chr(c) for c in range(33, 127)] + [f"<{i}>" for i in range(131 - 94)]  # of the cases; all but letters as they are
PROMPT, NEW_TOKENS = "Fine-tuning", 40  # more than the original length of phi3's positions


def make_tokenizer(folder):
    """A token a character, so that a text says which tokens were taken."""
    folder.mkdir()
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {text: i for i, text in enumerate(VOCABULARY)}, "merges": []}}))
    return folder


def greedy_text(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompt = torch.tensor([[VOCABULARY.index(character) for character in PROMPT]])
    model.generation_config.eos_token_id = None
    ids = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=NEW_TOKENS,
                         eos_token_id=None, pad_token_id=0)
    return "".join(VOCABULARY[i] for i in ids[0, len(PROMPT):].tolist())


def require_greedy_text(place, name, folder):
    job = train.job(place / f"{name}-generate", {
        "model.base": folder, "model.tokenizer": tokenizer, "model.precision": "fp32", "generate.chat": "false",
        "generate.max_new_tokens": NEW_TOKENS})
    output = train.alone("generate", job, f"generate.prompt={PROMPT}", "checkpoint.resume=never")
    text, wanted = output.split("\n", 1)[1][:-1], greedy_text(folder)
    require(text == wanted, f"{name}: generate takes the tokens that transformers takes", f"{text}\n{wanted}")


train, _ = program()
with workspace() as place:
    tokenizer = make_tokenizer(place / "tokenizer")
    for name, changes, rtol in (("llama-linear-bias", {}, 2e-5), ("llama-rope3-tied", {"checkpoint.max_shard_bytes": 30000}, 2e-5),
                                ("qwen3", {}, 2e-5), ("mistral", {"checkpoint.export_dtype": "bf16"}, 5e-3),
                                ("gemma2", {}, 2e-5), ("gemma3", {}, 2e-5), ("granite", {}, 2e-5), ("olmo3", {}, 2e-5),
                                ("phi3", {}, 2e-5), ("smollm3", {}, 2e-5)):
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
        if not changes:
            require_greedy_text(place, name, run / "final")
