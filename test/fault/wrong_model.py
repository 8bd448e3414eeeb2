"""wrong_model.py TRAIN: unusable configurations and weights; each gives one message, from one rank, with status 4."""
import json
import shutil
import struct

from harness import OWN_CASES, ROOT, Case, program, require, workspace

train, _ = program()
case = Case(OWN_CASES / "llama")


def read_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), data[8 + size:]


def write_safetensors(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def change_config(**changes):
    def change(model):
        config = json.loads((model / "config.json").read_text())
        config.update(changes)
        (model / "config.json").write_text(json.dumps(config))
    return change


def change_header(edit):
    def change(model):
        header, data = read_safetensors(model / "model.safetensors")
        edit(header)
        write_safetensors(model / "model.safetensors", header, data)
    return change


def truncate(model):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def garble(model):
    path = model / "model.safetensors"
    path.write_bytes(b"\x10\0\0\0\0\0\0\0not a JSON header" + path.read_bytes())


def without_norm(header):
    del header["model.norm.weight"]


def reshaped(header):
    header["model.norm.weight"]["shape"] = [header["model.norm.weight"]["shape"][0] // 2, 2]


def renamed(header):
    header["model.extra.weight"] = header.pop("model.norm.weight")


faults = {
    "an unknown model type": (change_config(model_type="gpt2"), "gpt2"),
    "a setting that would change the result": (change_config(logit_softcap=30.0), "logit_softcap"),
    "an activation that is not there": (change_config(hidden_act="gelu"), "hidden_act"),
    "a rotary type that is not there": (change_config(rope_scaling={"rope_type": "longrope", "factor": 2}), "longrope"),
    "a config without a size": (change_config(hidden_size=None), "hidden_size"),
    "a config that is no JSON": (lambda model: (model / "config.json").write_text("{"), "config.json"),
    "a tied config for two matrices": (change_config(tie_word_embeddings=True), "lm_head.weight"),
    "a base of rotary angles that is none": (change_config(rope_theta=0), "rope_theta"),
    "a truncated safetensors file": (truncate, "model.safetensors"),
    "a garbled safetensors header": (garble, "model.safetensors"),
    "a missing tensor": (change_header(without_norm), "model.norm.weight"),
    "a tensor of another shape": (change_header(reshaped), "model.norm.weight"),
    "a tensor without a place": (change_header(renamed), "model."),
    "no weights at all": (lambda model: (model / "model.safetensors").unlink(), "safetensors"),
    "labels of a larger vocabulary": (change_config(vocab_size=20), "train.jsonl"),
}

with workspace() as place:
    for number, (what, (spoil, named)) in enumerate(faults.items()):
        folder = place / f"fault-{number}"
        shutil.copytree(case.folder / "model", folder / "model")
        spoil(folder / "model")
        ranks = 1 + number % 3
        job = train.job(folder, {**case.settings(), "model.base": folder / "model"})
        output = train.finish(train.start(ranks, [job]), 4, what)
        told = [line for line in output.splitlines() if "error: " in line]
        require(len(told) == 1 and named in told[0], f"{what}, {ranks} ranks: one message names {named}", output)

    tokenizer = ROOT / "test/data/tokenizer/byte-level"  # of more tokens than the case's model
    for what, size, ends, named in (("a tokenizer of more tokens", 131, 2, str(tokenizer)),
                                    ("weights of another shape", 2000, [2], "model.embed_tokens.weight"),
                                    ("an end that is no token", 2000, ["</s>"], "generation_config.json")):
        folder = place / f"generate-{what.replace(' ', '-')}"
        shutil.copytree(case.folder / "model", folder / "model")
        change_config(vocab_size=size)(folder / "model")
        (folder / "model/generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
        job = train.job(folder, {**case.settings(), "model.base": folder / "model", "model.tokenizer": tokenizer})
        output = train.alone("generate", job, "generate.prompt=x", expect=4)
        told = [line for line in output.splitlines() if "error: " in line]
        require(len(told) == 1 and named in told[0], f"train generate, {what}: one message names {named}", output)
