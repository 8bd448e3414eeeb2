"""json_files.py TRAIN: JSON that is nested without end, out of range or endless, in every file that is read as JSON."""
import json
import shutil
import struct

from harness import OWN_CASES, ROOT, Case, program, require, workspace
from limits import refused

train, _ = program()
case = Case(OWN_CASES / "llama")
TOKENIZER = ROOT / "test" / "data" / "tokenizer" / "byte-level"
LEVELS = 200_000
ARRAYS = "[" * LEVELS + "]" * LEVELS
OBJECTS = '{"a":' * LEVELS + "1" + "}" * LEVELS
config = json.loads((case.folder / "model/config.json").read_text())


def with_text(object_, key, text):
    """The object as JSON, with `text` in place of the value of the key."""
    return json.dumps({**object_, key: "PLACE"}).replace('"PLACE"', text)


def write_config(text):
    return lambda folder: (folder / "config.json").write_text(text)


def change_config(**changes):
    return write_config(json.dumps({**config, **changes}))


def yarn(**changes):
    return change_config(rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, **changes})


def change_header(change):
    """Rewrites the header of model.safetensors as text."""
    def spoil(folder):
        path = folder / "model.safetensors"
        data = path.read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        text = change(json.loads(data[8:8 + size])).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:])
    return spoil


def tensor_with(key, text):
    return change_header(lambda header: with_text(
        header, "model.norm.weight", with_text(header["model.norm.weight"], key, text)))


def write_index(weight_map):
    def spoil(folder):
        (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
        (folder / "model.safetensors.index.json").write_text('{"metadata": {}, "weight_map": %s}' % weight_map)
    return spoil


faults = {
    "config.json, a known key of nested lists": (write_config(with_text(config, "hidden_size", ARRAYS)), "config.json"),
    "config.json, an unknown key of nested objects": (write_config(with_text(config, "extra", OBJECTS)), "config.json"),
    "config.json, rope_scaling": (write_config(with_text(config, "rope_scaling", OBJECTS)), "config.json"),
    "config.json, architectures": (write_config(with_text(config, "architectures", ARRAYS)), "config.json"),
    "config.json, nesting that never closes": (write_config("[" * 2_000_000), "config.json"),
    "config.json, an unknown key of ten million values": (write_config(with_text(config, "extra", "[" + "0," * 10_000_000 + "0]")),
                                                          "config.json"),
    "config.json, a text of 30 MB": (change_config(extra="x" * 30_000_000), ["config.json", "extra"]),
    "config.json, 1e999": (write_config(with_text(config, "rope_theta", "1e999")), ["config.json", "1e999"]),
    "config.json, no UTF-8": (lambda folder: (folder / "config.json").write_bytes(b'{"model_type": "\xff\xfe"}'), "config.json"),
    "config.json, a context of no positions": (yarn(original_max_position_embeddings=0), ["config.json", "original_max_position"]),
    "config.json, a negative eps": (change_config(rms_norm_eps=-1.0), ["config.json", "rms_norm_eps"]),
    "a safetensors header, nested shape": (tensor_with("shape", ARRAYS), "model.safetensors"),
    "a safetensors header, nested dtype": (tensor_with("dtype", OBJECTS), "model.safetensors"),
    "a safetensors header, nested metadata": (change_header(lambda header: with_text(header, "__metadata__", OBJECTS)),
                                              "model.safetensors"),
    "a safetensors header, a shape of 2^64 - 1": (tensor_with("shape", "[18446744073709551615]"), ["model.safetensors", "shape"]),
    "an index, nested weight_map": (write_index(OBJECTS), "index.json"),
    "an index, nested name": (write_index('{"model.norm.weight": %s}' % ARRAYS), "index.json"),
    "an index, a name of 5,000 characters": (write_index('{"model.norm.weight": "%s"}' % ("s" * 5000)), "ssss"),
    "an index, a name outside": (write_index('{"model.norm.weight": ".."}'), ".."),
}

with workspace() as place:
    shutil.copytree(case.folder / "model", place / "model")
    for number, (what, (spoil, named)) in enumerate(faults.items()):
        model = place / f"model-{number}"
        shutil.copytree(place / "model", model)
        spoil(model)
        job = train.job(place / f"job-{number}", {**case.settings(), "model.base": model, "train.max_steps": 1,
                                                  "train.warmup_steps": 0})
        refused(train, what, [job], 4, named)
        require(not (place / f"job-{number}/checkpoints").exists(), f"{what}: nothing is trained")
        shutil.rmtree(model)

    tokenizer = json.loads((TOKENIZER / "tokenizer.json").read_text())
    sequence = '{"type": "Sequence", "normalizers": [' * LEVELS + '{"type": "NFC"}' + "]}" * LEVELS
    for what, name, text in (
            ("tokenizer.json, nested steps", "tokenizer.json", with_text(tokenizer, "normalizer", sequence)),
            ("tokenizer.json, nested added_tokens", "tokenizer.json", with_text(tokenizer, "added_tokens", ARRAYS)),
            ("tokenizer.json, a nested added token", "tokenizer.json", with_text(tokenizer, "added_tokens", "[" + OBJECTS + "]")),
            ("tokenizer.json, a nested vocabulary", "tokenizer.json", with_text(tokenizer, "model", '{"vocab": {"a": %s}}' % ARRAYS)),
            ("tokenizer.json, a nested version", "tokenizer.json", with_text(tokenizer, "version", OBJECTS)),
            ("tokenizer_config.json, a nested bos_token", "tokenizer_config.json", '{"bos_token": %s}' % OBJECTS),
            ("tokenizer_config.json, a nested chat_template", "tokenizer_config.json", '{"chat_template": %s}' % ARRAYS),
            ("special_tokens_map.json, a nested eos_token", "special_tokens_map.json", '{"eos_token": %s}' % ARRAYS)):
        folder = place / "tokenizer"
        shutil.copytree(TOKENIZER, folder)
        (folder / name).write_text(text)
        refused(train, what, ["tokenize", folder], 4, name, stdin=b'"text"\n')
        shutil.rmtree(folder)
    refused(train, "a nested line of input", ["tokenize", TOKENIZER], 4, "line 2", stdin=b'"text"\n' + ARRAYS.encode() + b"\n")

    shutil.copytree(case.folder / "model", place / "generating")
    (place / "generating/config.json").write_text(json.dumps({**config, "vocab_size": 2000}))
    (place / "generating/generation_config.json").write_text('{"eos_token_id": %s}' % ARRAYS)
    job = train.job(place / "generate", {**case.settings(), "model.base": place / "generating", "model.tokenizer": TOKENIZER})
    refused(train, "generation_config.json, a nested eos_token_id", ["generate", job, "generate.prompt=x"], 4,
            "generation_config.json")

    job = train.job(place / "trained", {**case.settings(), "train.max_steps": 1, "train.warmup_steps": 0})
    train.alone(job)
    manifest = place / "trained/checkpoints/step-000001/manifest.json"
    whole = json.loads(manifest.read_text())
    for key in ("step", "files", "format"):
        manifest.write_text(with_text(whole, key, ARRAYS))
        refused(train, f"manifest.json, nested {key}", ["export", job], 4, "manifest.json")
