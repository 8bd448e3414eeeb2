#!/usr/bin/env python3
"""Fuzzes everything that is read from strangers: makes the seeds, builds test/fuzz, runs its targets, says what they found.

    scripts/fuzz.py --quick              as .ci/run does: the same inputs each time, under three minutes
    scripts/fuzz.py --runs 1000000       so many runs of each target, onward from what earlier ones found interesting
    scripts/fuzz.py --seconds 3600       so many seconds of each target
    scripts/fuzz.py --targets job,shard --seconds 60
    scripts/fuzz.py --build              builds, and no more

Exit status 1 where a target found something: the input is build/fuzz/findings/TARGET-…, and
build/fuzz/test/fuzz/fuzz_TARGET FILE shows it again.  What goes wrong inside libhdf5 is counted, and does not count as found
(docs/reliability.md).  Needs clang 14, zstd, and of Python its standard library alone.
"""
import argparse
import concurrent.futures
import gzip
import json
import math
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "fuzz"
SECONDS_OF_A_UNIT = 10
MEBIBYTES = 1024  # that a target may take

# What every target begins with; HDF5's ones are made by make_hdf5_seeds.


def job_seeds():
    job = "[job]\noutput_dir = out\n[model]\nbase = m\n[dataset.a]\npath = d.jsonl\ntype = {}\n[train]\nmax_steps = 3\nlearning_rate = 1e-4\n"
    seeds = [job.format(kind) for kind in ("tokenized", "alpaca", "completion", "input_output", "chat_template")]
    seeds.append(job.format("alpaca") + "[data]\nsequence_len = 64 ; short\nval_set_size = 0.1\n[eval]\neval_steps = 2\n")
    seeds.append(job.format('"alpaca"') + "lr_scheduler = cosine_with_min_lr\nmin_lr_rate = 0.1\nwarmup_ratio = 0.03\n"
                 "[shard]\nstrategy = hybrid_shard\ngroup_size = 2\n[checkpoint]\nsave_steps = 2\nexport_dtype = fp32\n[log]\ntrace = ${HOME}/t\n")
    seeds += [path.read_text() for path in sorted((ROOT / "jobs").glob("*.ini"))]
    return [seed.encode() for seed in seeds]


def config(**keys):
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 24, "intermediate_size": 40, "vocab_size": 99,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-5,
            "max_position_embeddings": 256, "tie_word_embeddings": True, "rope_theta": 10000.0, **keys}


def config_seeds():
    llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    yarn = {"type": "yarn", "factor": 4.0, "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "truncate": False}
    configs = [config(), config(rope_scaling=llama3, attention_bias=True, mlp_bias=True), config(rope_scaling={"type": "linear", "factor": 2}),
               config(rope_parameters={**yarn, "rope_theta": 5000}), config(model_type="mistral", sliding_window=32, head_dim=8),
               config(model_type="qwen2", use_sliding_window=True, sliding_window=16, max_window_layers=1),
               config(model_type="qwen3", head_dim=16, layer_types=["full_attention", "sliding_attention"], sliding_window=8),
               config(model_type="gemma2", hidden_activation="gelu_pytorch_tanh", sliding_window=8, query_pre_attn_scalar=8,
                      attn_logit_softcapping=5.0, final_logit_softcapping=None, pad_token_id=0),
               {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "vision_config": {},
                "text_config": config(model_type="gemma3_text", hidden_activation="gelu_pytorch_tanh", rope_local_base_freq=3e3,
                                      sliding_window_pattern=2)},
               config(model_type="gemma3_text", hidden_activation="gelu_pytorch_tanh", rope_parameters={
                   "full_attention": {"rope_type": "linear", "factor": 4}, "sliding_attention": {"rope_theta": 3e3}}),
               config(model_type="phi3", original_max_position_embeddings=64, partial_rotary_factor=0.67, rope_scaling={
                   "type": "longrope", "short_factor": [1.0, 1.5], "long_factor": [2.0, 4.0]}),
               config(model_type="olmo3", sliding_window=8, rope_scaling={"rope_type": "yarn", "factor": 2}),
               config(model_type="smollm3", no_rope_layers=[1, 0], use_sliding_window=True, sliding_window=8),
               config(model_type="granite", embedding_multiplier=3, logits_scaling=2.5, residual_multiplier=0.4, attention_multiplier=0.1)]
    return [json.dumps(one).encode() for one in configs]


def safetensors(tensors, data):
    header = json.dumps(tensors).encode()
    return struct.pack("<Q", len(header)) + header + data


def safetensors_seeds():
    whole = {"__metadata__": {"format": "pt"}, "a.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
             "b.weight": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]}, "c": {"dtype": "F16", "shape": [], "data_offsets": [32, 34]},
             "d": {"dtype": "I64", "shape": [0, 7], "data_offsets": [34, 34]}}
    return [safetensors(whole, bytes(34)), safetensors({}, b""),
            safetensors({"x": {"dtype": "F8_E4M3", "shape": [5], "data_offsets": [0, 5]}}, bytes(5))]


def adapter_seeds():
    sizes = {"self_attn.q_proj": (4, 4), "self_attn.v_proj": (2, 4), "mlp.down_proj": (4, 6)}
    seeds = []
    for targets, names, changes in (
            (["q_proj", "v_proj"], ["self_attn.q_proj", "self_attn.v_proj"], {"modules_to_save": ["embed_tokens"], "lora_dropout": 0.1}),
            (r".*\.1\..*(q|v)_proj", ["self_attn.q_proj", "self_attn.v_proj"], {"layers_to_transform": [1], "use_rslora": True}),
            (["layers.0.mlp.down_proj"], ["mlp.down_proj"], {"use_dora": True, "rank_pattern": {}, "alpha_pattern": None})):
        layers = [1] if isinstance(targets, str) else [0] if "0" in targets[0] else [0, 1]
        shapes = {}
        for layer, name in ((layer, name) for layer in layers for name in names):
            rows, columns = sizes[name]
            module = f"base_model.model.model.layers.{layer}.{name}"
            shapes[f"{module}.lora_A.weight"], shapes[f"{module}.lora_B.weight"] = [2, columns], [rows, 2]
            if changes.get("use_dora"):
                shapes[f"{module}.lora_magnitude_vector"] = [rows]
        if "modules_to_save" in changes:
            shapes["base_model.model.model.embed_tokens.weight"] = [7, 4]
        tensors, end = {}, 0
        for name, shape in shapes.items():
            tensors[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + 4 * math.prod(shape)]}
            end += 4 * math.prod(shape)
        config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": targets, "bias": "none", **changes}
        seeds.append(json.dumps(config).encode() + b"\0" + safetensors(tensors, bytes(end)))
    return seeds


def nf4_map():
    return struct.pack("<16f", *(float.fromhex(text) for text in (
        "-1", "-0x1.647362p-1", "-0x1.0cd66p-1", "-0x1.94654p-2", "-0x1.23449ap-2", "-0x1.7a6a7ep-3", "-0x1.74f0e2p-4", "0",
        "0x1.45f5fep-4", "0x1.4995c6p-3", "0x1.f809bap-3", "0x1.5a0674p-2", "0x1.c3497p-2", "0x1.200f56p-1", "0x1.722766p-1", "1")))


def signed_dynamic_map():
    middles = [10.0 ** (power - 6) * (0.1 + 0.9 * (i + 0.5) / 2**power) for power in range(7) for i in range(2**power)]
    return struct.pack("<256f", *sorted([0.0, 1.0] + middles + [-middle for middle in middles]))


def quantized_seeds():
    plain = {"model.embed_tokens": (7, 4), "model.norm": (4,)}
    layer = {"input_layernorm": (4,), "post_attention_layernorm": (4,), "self_attn.q_proj": (4, 4), "self_attn.k_proj": (2, 4),
             "self_attn.v_proj": (2, 4), "self_attn.o_proj": (4, 4), "mlp.gate_proj": (6, 4), "mlp.up_proj": (6, 4), "mlp.down_proj": (4, 6)}
    plain.update({f"model.layers.0.{name}": shape for name, shape in layer.items() if name != "mlp.down_proj"})
    matrix, seeds = "model.layers.0.mlp.down_proj.weight", []
    for twice in (True, False):
        state = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [4, 6]}
        parts = {matrix: ("U8", [12, 1], bytes(range(12))), f"{matrix}.quant_map": ("F32", [16], nf4_map())}
        if twice:
            state.update(nested_blocksize=256, nested_dtype="float32", nested_offset=0.25)
            parts.update({f"{matrix}.absmax": ("U8", [1], b"\x80"), f"{matrix}.nested_absmax": ("F32", [1], struct.pack("<f", 0.5)),
                          f"{matrix}.nested_quant_map": ("F32", [256], signed_dynamic_map())})
        else:
            parts[f"{matrix}.absmax"] = ("F32", [1], struct.pack("<f", 0.5))
        text = json.dumps(state).encode()
        parts[f"{matrix}.quant_state.bitsandbytes__nf4"] = ("U8", [len(text)], text)
        parts.update({f"{name}.weight": ("BF16", list(shape), bytes(2 * math.prod(shape))) for name, shape in plain.items()})
        tensors, data = {}, b""
        for name, (dtype, shape, part) in parts.items():
            tensors[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(part)]}
            data += part
        seeds.append(safetensors(tensors, data))
    return seeds


def index_seeds():
    return [json.dumps({"metadata": {"total_size": 48}, "weight_map": names}).encode()
            for names in ({"a.weight": "a.safetensors", "b.weight": "b.safetensors"}, {"a.weight": "a.safetensors"}, {})]


def tokenizer_seeds():
    small = {"version": "1.0", "truncation": None, "padding": None, "normalizer": {"type": "NFC"}, "post_processor": None, "decoder": None,
             "added_tokens": [{"id": 3, "content": "<s>", "single_word": False, "lstrip": False, "rstrip": True, "normalized": False, "special": True}],
             "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                 {"type": "Split", "pattern": {"Regex": r"(?i:'s|'t)|\p{N}{1,3}| ?\p{L}+|\s+(?!\S)|[^\s]"}, "behavior": "Isolated", "invert": False},
                 {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
             "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}
    chatml = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nBe brief.<|im_end|>\\n' }}"
              "{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
              "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
    settings = {"bos_token": "<s>", "eos_token": {"content": "<s>"}, "chat_template": chatml}
    texts = ["Hello, wörld!  ab<s> 1234\n", "aabb ab\t\r\n\u00e9e\u0301 \U0001f600"]
    seeds = [json.dumps(small) + "\0" + json.dumps(settings) + "\0" + texts[0]]
    for path in sorted((ROOT / "test" / "data" / "tokenizer").glob("*/tokenizer.json")):
        seeds += [json.dumps(json.loads(path.read_text())) + "\0" + "{}" + "\0" + text for text in texts]
    return [seed.encode() for seed in seeds]


LINES = [{"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}, {"text": "some words, and \u00e9"},
         {"instruction": "Add.", "input": "1 2", "output": "3", "system": "Be brief."},
         {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a", "weight": 1}]},
         {"segments": [{"label": True, "text": "yes"}, {"label": False, "text": "no"}]},
         {"question": "Which?", "choices": ["a", "b"], "explanation": "b, because"},
         {"instruction": "Think.", "input": "x", "output": "1", "reflection": "Hm.", "corrected": "2"},
         {"system_prompt": "Be brief.", "question": "Two?", "response": "2"}]
TYPES, ENDINGS = 8, 3


def records_seeds():
    seeds = []
    for kind, line in enumerate(LINES):
        text = json.dumps(line)
        for ending, file in enumerate([text + "\n\n" + text, json.dumps([line, line], indent=1), "\ufeff" + text + "\r\n"]):
            seeds.append(bytes([kind + TYPES * ending, kind * 7 + ending]) + file.encode())
    shared_chat = {"conversations": [{"from": "human", "value": "u"}, {"from": "gpt", "value": "a", "train": False}]}
    seeds.append(bytes([3, 0]) + json.dumps(shared_chat).encode())
    seeds.append(bytes([1 + 2 * TYPES, 0]) + "A plain text.\n\nIts second paragraph \u00fc.\n".encode() * 12)
    return seeds


def compressed_seeds():
    text = b"".join(json.dumps(line).encode() + b"\n" for line in LINES)
    packed = [gzip.compress(text, mtime=0), gzip.compress(text[:50], mtime=0) + gzip.compress(text[50:], mtime=0)]
    zstd = [subprocess.run(["zstd", "-q", "-c", *options], input=text * 3, stdout=subprocess.PIPE, check=True).stdout
            for options in ([], ["--check", "-19"])]
    return [bytes([kind]) + file for kind in range(3) for file in packed] + [bytes([3 + kind]) + file for kind in range(3) for file in zstd]


def manifest_seeds():
    shard = {"name": "shard-00000-of-00001.h5", "bytes": 10, "xxh3": "0123456789abcdef"}
    whole = {"format": "tessera-checkpoint", "version": 1, "step": 1, "epoch": 0, "samples_seen": 2, "tokens_seen": 3, "world_size": 1,
             "files": [{**shard, "metadata_bytes": 5, "metadata_xxh3": "fedcba9876543210"}]}
    two = {**whole, "world_size": 2, "files": [{**shard, "name": f"shard-0000{rank}-of-00002.h5"} for rank in (1, 0)]}
    return [json.dumps(one).encode() + b"\0step-000001\n" for one in (whole, two)]


def object_seeds():
    return [bytes((17 * i + j * j) % 256 for j in range(64 * (1 + i % 4))) for i in range(24)]


class Target:
    """max_len: bytes of an input.  quick: runs in .ci/run.  words: files of C++ whose strings are the dictionary, with `punctuation`.
    hdf5: the input reaches libhdf5, which is not instrumented, leaks what it has opened of a broken file, and has faults of its own."""

    def __init__(self, seeds, max_len, quick, words=(), punctuation=(), hdf5=False):
        self.seeds, self.max_len, self.quick, self.words, self.punctuation, self.hdf5 = seeds, max_len, quick, words, punctuation, hdf5


JSON = ("{", "}", "[", "]", ":", ",", "\"", "null", "true", "1e999", "-1", "9223372036854775807", "\\ud800", "\\u0000")
TARGETS = {
    "job": Target(job_seeds, 4096, 30000, ["src/job"], ["[", "]", "=", ";", "\"", "${HOME}", "1e-5", "\n"]),
    "config": Target(config_seeds, 2048, 25000, ["src/model/families"], JSON),
    "safetensors": Target(safetensors_seeds, 2048, 25000, ["src/checkpoint/safetensors.cpp", "src/checkpoint/safetensors_header.cpp"], JSON),
    "safetensors_index": Target(index_seeds, 1024, 25000, [], ["weight_map", "a.safetensors", "b.safetensors", "a.weight", "..", "/", *JSON]),
    "adapter": Target(adapter_seeds, 4096, 15000, ["src/model/adapter.cpp", "src/session/weight_files.cpp"],
                      ["layers.0", "*", "|", "(?=", "{2}", "all-linear", "base_model.model.", *JSON]),
    "quantized": Target(quantized_seeds, 6144, 15000, ["src/session/nf4_tensor.cpp", "src/session/weight_files.cpp"], JSON),
    "tokenizer": Target(tokenizer_seeds, 12288, 5000, ["src/text"], [*JSON, "\\p{L}", "(?i:", "(?!", "\\s+", "[^", "{1,3}", "*+", "|"]),
    "records": Target(records_seeds, 2048, 25000, ["src/data"], JSON),
    "compressed": Target(compressed_seeds, 2048, 25000),
    "manifest": Target(manifest_seeds, 2048, 10000, ["src/checkpoint/manifest.cpp"], JSON),
    "shard": Target(None, 16384, 5000, hdf5=True),
    "prepared": Target(None, 16384, 5000, hdf5=True),
    "hdf5_objects": Target(object_seeds, 1024, 3000, hdf5=True),
}


def run(command, **options):
    return subprocess.run([str(word) for word in command], check=True, cwd=ROOT, **options)


def build(jobs):
    log = BUILD.parent / "fuzz-cmake.log"
    BUILD.parent.mkdir(exist_ok=True)
    compilers = {**os.environ, "CC": "clang-14", "CXX": "clang++-14"}
    with log.open("w") as output:
        run(["cmake", "-S", ".", "-B", BUILD, "-G", "Ninja", "-DTESSERA_FUZZ=ON", "-DTESSERA_CUDA=OFF"], env=compilers, stdout=output)
    run(["ninja", "-C", BUILD, f"-j{jobs}", "--quiet"])


def make_seeds(place):
    for name, target in TARGETS.items():
        folder = place / name
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(target.seeds() if target.seeds else []):
            (folder / f"seed-{number}").write_bytes(seed)
    run([BUILD / "test/fuzz/make_hdf5_seeds", place])


def dictionary(target):
    """A file of libFuzzer's: the words that the readers compare with, one a line."""
    words = set(target.punctuation)
    for place in target.words:
        files = sorted((ROOT / place).rglob("*.cpp")) if (ROOT / place).is_dir() else [ROOT / place]
        for file in files:
            words |= set(re.findall(r'"([A-Za-z_<][\w.<>/|-]{1,40})"', file.read_text()))
    escaped = ["".join(c if c.isalnum() else "".join(f"\\x{byte:02x}" for byte in c.encode()) for c in word) for word in sorted(words)]
    return "".join(f'"{word}"\n' for word in escaped)


def options_of(name, target, arguments, folders):
    options = [f"-max_len={target.max_len}", f"-timeout={SECONDS_OF_A_UNIT}", f"-rss_limit_mb={MEBIBYTES}", "-print_final_stats=1",
               f"-artifact_prefix={BUILD}/findings/{name}-", f"-detect_leaks={int(not target.hdf5)}", "-reload=0", "-entropic=0"]
    if target.words or target.punctuation:
        (folders.work / f"{name}.dict").write_text(dictionary(target))
        options.append(f"-dict={folders.work}/{name}.dict")
    return options


class Folders:
    """Seeds, what the targets find interesting, and findings.  Quick runs begin with the seeds alone."""

    def __init__(self, work, quick):
        self.work = pathlib.Path(work)
        self.seeds = self.work / "seeds"
        self.corpus = self.work / "corpus" if quick else BUILD / "corpus"
        for folder in (self.seeds, self.corpus, BUILD / "findings"):
            folder.mkdir(parents=True, exist_ok=True)


def last(pattern, text, otherwise="?"):
    found = re.findall(pattern, text)
    return found[-1] if found else otherwise


def is_in_libhdf5(log):
    """Is libhdf5 the first to be seen on the stack of what went wrong, below what it called of the C library?"""
    for frame in re.findall(r"^ +#\d+ .*", log, re.MULTILINE):
        if "libhdf5" in frame:
            return True
        if re.search(r"tessera|/src/|/test/fuzz/\w+\.cpp|LLVMFuzzerTestOneInput", frame):
            return False
    return False


class Outcome:
    """Of one target: figures over all of its processes, of which there are several where libhdf5 ended some."""

    def __init__(self, name):
        self.name, self.runs, self.seconds, self.edges, self.peak, self.in_libhdf5, self.found, self.log = name, 0, 0.0, 0, 0, 0, None, ""

    def add(self, status, seconds, log, hdf5):
        self.runs += int(last(r"stat::number_of_executed_units: +(\d+)", log, last(r"^#(\d+)\s", log, 0)))
        self.seconds += seconds
        self.edges = max(self.edges, int(last(r"cov: (\d+)", log, 0)))
        self.peak = max(self.peak, int(last(r"peak_rss_mb: +(\d+)", log, 0)))
        if status != 0 and hdf5 and is_in_libhdf5(log):
            self.in_libhdf5 += 1
        elif status != 0:
            self.found, self.log = last(r"(?:SUMMARY|ERROR): (.*)", log, f"exit status {status}"), log

    def print(self):
        words = [self.found or "none"] + [f"{self.in_libhdf5} inside libhdf5"] * bool(self.in_libhdf5)
        print(f"{self.name:18} {self.runs:9} {self.runs / max(self.seconds, 1e-9):8.0f} {self.edges:>6} {self.peak:>5}  {', '.join(words)}", flush=True)
        print("".join(line + "\n" for line in self.log.splitlines()[-60:]), end="", flush=True)


def environment(target, folders):
    """Freed memory is kept for a while, not for long: half of the time would go into fresh pages."""
    return {**os.environ, "TMPDIR": str(folders.work), "ASAN_OPTIONS": f"malloc_context_size=8:quarantine_size_mb=16:detect_leaks={int(not target.hdf5)}",
            "UBSAN_OPTIONS": "print_stacktrace=1"}


def fuzz(name, arguments, folders):
    """Runs a target, prints its line, and returns its outcome."""
    target, outcome, corpus = TARGETS[name], Outcome(name), folders.corpus / name
    corpus.mkdir(exist_ok=True)
    options = options_of(name, target, arguments, folders)
    runs = target.quick if arguments.quick else arguments.runs
    while outcome.found is None:
        if runs:
            length = [f"-runs={runs - outcome.runs}"]
        else:
            length = [f"-max_total_time={max(1, int(arguments.seconds - outcome.seconds))}"]
        seed = [f"-seed={1 + outcome.in_libhdf5}"] if arguments.quick else []
        command = [BUILD / f"test/fuzz/fuzz_{name}", *options, *length, *seed, corpus, folders.seeds / name]
        began = time.monotonic()
        log = BUILD / "findings" / f"{name}.log"
        with log.open("wb") as output:
            status = subprocess.run([str(word) for word in command], cwd=folders.work, env=environment(target, folders), stdout=subprocess.DEVNULL,
                                    stderr=output).returncode
        outcome.add(status, time.monotonic() - began, log.read_text(errors="replace"), target.hdf5)
        if (outcome.runs >= runs) if runs else (outcome.seconds >= arguments.seconds):
            break
    outcome.print()
    return outcome


def arguments_of(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    how_long = parser.add_mutually_exclusive_group(required=True)
    how_long.add_argument("--quick", action="store_true")
    how_long.add_argument("--runs", type=int)
    how_long.add_argument("--seconds", type=int)
    how_long.add_argument("--build", action="store_true")
    parser.add_argument("--targets", type=lambda names: names.split(","), default=list(TARGETS))
    parser.add_argument("--jobs", type=int, default=int(os.environ.get("JOBS", 2)), help="targets at a time (2)")
    arguments = parser.parse_args(words)
    for name in arguments.targets:
        if name not in TARGETS:
            parser.error(f"there is no target {name}; expected {', '.join(TARGETS)}")
    return arguments


def main(words):
    arguments = arguments_of(words)
    build(arguments.jobs)
    if arguments.build:
        return 0
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="tessera-fuzz-", dir=memory) as work:
        folders = Folders(work, arguments.quick)
        make_seeds(folders.seeds)
        print(f"{'target':18} {'runs':>9} {'runs/s':>8} {'edges':>6} {'MiB':>5}  findings", flush=True)
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            outcomes = pool.map(lambda name: fuzz(name, arguments, folders), arguments.targets)
            found = [outcome.name for outcome in outcomes if outcome.found]
    if found:
        print(f"fuzz: findings in {', '.join(found)}; the inputs and logs are in {BUILD / 'findings'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
