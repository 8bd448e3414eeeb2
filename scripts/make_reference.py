"""Makes test/data/reference: small models, token data, and the numbers that training them has to give.

    build/venv/bin/python scripts/make_reference.py [CASE …]        (scripts/setup.sh --torch comes first; one minute)

The numbers are those of transformers' modelling code, torch.optim.AdamW, clip_grad_norm_ and transformers.get_scheduler, in
float64 but for the rotary tables, and once more with forward and backward in bf16 (float32 master weights and gradient sums).
A case with an adapter has adapter/ too, the PEFT directory that the run begins from (job.json: lora_model_dir); with
load_in_4bit the linear modules of the layers are what bitsandbytes makes of their NF4 form, the second level of absmax
rounded to the nearest code as its CUDA kernel does; with stored_in_4bit they are in model/ as bitsandbytes writes them.  With optimizer adamw_8bit, both moments of tensors with 4096 elements and more go through bitsandbytes' dynamic maps after
each update, in blocks of 256 elements.  With lora_dropout the elements that kernels/dropout.h describes are dropped.
A case is a folder: model/, train.jsonl (type tokenized), job.json (the settings), expected.json (one entry a step).  Sizes
are odd on purpose: nothing divides by the number of ranks or by the width of a vector.
"""
import json
import math
import os
import random
import shutil
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
import torch.nn.functional as F
import transformers
import xxhash
from bitsandbytes.nn import Linear4bit
from bitsandbytes.functional import create_dynamic_map, dequantize_4bit, quantize_4bit
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig, get_scheduler

OUT = Path(__file__).resolve().parent.parent / "test" / "data" / "reference"

MODEL = dict(model_type="llama", vocab_size=131, hidden_size=30, intermediate_size=50, num_hidden_layers=2,
             num_attention_heads=3, num_key_value_heads=1, head_dim=10, max_position_embeddings=128, rms_norm_eps=1e-5,
             initializer_range=0.1, tie_word_embeddings=False, rope_parameters=dict(rope_type="default", rope_theta=1e4))
JOB = dict(sequence_len=53, max_steps=12, global_batch_size=6, micro_batch_size=2, learning_rate=0.01, lr_scheduler="cosine",
           lr_scheduler_kwargs={}, warmup_steps=3, adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-8, weight_decay=0.1,
           max_grad_norm=1.0)

# name: what differs from MODEL, what differs from JOB, how config.json spells the rotary embedding, label masks drawn from
CASES = {
    "llama": ({}, {}, "rope_theta", "prompt full"),
    "llama-rope3-tied": (
        dict(tie_word_embeddings=True, rope_parameters=dict(
            rope_type="llama3", rope_theta=2e4, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=32)),
        dict(lr_scheduler="linear", adam_beta2=0.95, micro_batch_size=1), "rope_theta", "prompt full"),
    "llama-linear-bias": (
        dict(attention_bias=True, mlp_bias=True, rope_parameters=dict(rope_type="linear", rope_theta=1e4, factor=4.0)),
        dict(lr_scheduler="linear", warmup_steps=0, adam_beta1=0.8, weight_decay=1.0), "rope_scaling.type", "prompt full"),
    "llama-yarn": (
        dict(rope_parameters=dict(rope_type="yarn", rope_theta=1e4, factor=4.0, original_max_position_embeddings=32)),
        dict(lr_scheduler="inverse_sqrt", adam_epsilon=1e-5), "rope_parameters", "prompt full"),
    "llama-uneven": (  # many micro-batches with few or no supervised tokens; a batch that most rank counts do not divide
        dict(hidden_size=39, rms_norm_eps=1e-3),
        dict(global_batch_size=7, micro_batch_size=1, max_grad_norm=1.4, lr_scheduler="warmup_stable_decay",
             lr_scheduler_kwargs=dict(num_stable_steps=4, num_decay_steps=5, min_lr_ratio=0.1)), "rope_parameters",
        "none last full full prompt"),
    "mistral": (
        dict(model_type="mistral", sliding_window=7),
        dict(lr_scheduler="constant_with_warmup", adam_beta2=0.98), "rope_parameters", "full"),
    "qwen2": (
        dict(model_type="qwen2", tie_word_embeddings=True, rms_norm_eps=1e-6, use_sliding_window=False, sliding_window=7,
             rope_parameters=dict(rope_type="default", rope_theta=1e6)),
        dict(lr_scheduler="constant", max_grad_norm=0.0, weight_decay=0.5, learning_rate=0.005), "rope_theta", "prompt full"),
    "qwen3": (
        dict(model_type="qwen3", hidden_size=26, num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-6),
        dict(lr_scheduler="cosine_with_min_lr", lr_scheduler_kwargs=dict(min_lr_rate=0.1), warmup_steps=0), "rope_parameters",
        "prompt full"),
    # norms before and behind, soft caps, a window in every other layer, a head width of its own
    "gemma2": (
        dict(model_type="gemma2", num_hidden_layers=3, head_dim=14, tie_word_embeddings=True, sliding_window=7,
             query_pre_attn_scalar=12, attn_logit_softcapping=4.0, final_logit_softcapping=3.0,
             hidden_activation="gelu_pytorch_tanh"),
        dict(micro_batch_size=3), "rope_theta", "prompt full"),
    # q and k normalised with 1 + w, and rotary tables of their own for layers with a window
    "gemma3": (
        dict(model_type="gemma3_text", num_hidden_layers=4, tie_word_embeddings=True, sliding_window=9, sliding_window_pattern=3,
             query_pre_attn_scalar=12, hidden_activation="gelu_pytorch_tanh",
             rope_parameters=dict(full_attention=dict(rope_type="linear", rope_theta=5e4, factor=4.0),
                                  sliding_attention=dict(rope_type="default", rope_theta=3e3))),
        dict(lr_scheduler="linear"), "rope_parameters", "prompt full"),
    # longrope of a part of each head, with documents on both sides of the original length
    "phi3": (
        dict(model_type="phi3", hidden_size=48, num_attention_heads=4, num_key_value_heads=2, head_dim=12,
             original_max_position_embeddings=24, pad_token_id=0, bos_token_id=1, eos_token_id=2,
             rope_parameters=dict(rope_type="longrope", rope_theta=1e4, partial_rotary_factor=0.67,
                                  original_max_position_embeddings=24, short_factor=[1.0, 1.1, 1.3, 1.6],
                                  long_factor=[1.0, 1.9, 3.2, 4.9])),
        dict(adam_beta2=0.95), "rope_parameters", "prompt full"),
    # norms behind alone, q and k normalised over all heads; windows, and scaled rotary positions without
    "olmo3": (
        dict(model_type="olmo3", num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, hidden_size=40,
             sliding_window=9, rope_parameters=dict(
                 full_attention=dict(rope_type="yarn", rope_theta=1e4, factor=4.0, original_max_position_embeddings=32),
                 sliding_attention=dict(rope_type="default", rope_theta=1e4))),
        dict(lr_scheduler="constant", learning_rate=0.003), "rope_parameters", "prompt full"),
    # layers whose positions turn nothing
    "smollm3": (
        dict(model_type="smollm3", num_hidden_layers=3, no_rope_layers=[1, 0, 1], tie_word_embeddings=True,
             pad_token_id=0, bos_token_id=1, eos_token_id=2), dict(max_grad_norm=0.7), "rope_parameters", "full"),
    # four multipliers
    "granite": (
        dict(model_type="granite", embedding_multiplier=3.0, logits_scaling=2.5, residual_multiplier=0.4,
             attention_multiplier=0.11), dict(lr_scheduler="linear", adam_beta1=0.8), "rope_theta", "prompt full"),
    # moments in 8 bits: tensors that are no whole number of blocks, beside some that keep theirs in float32
    "adamw-8bit": (
        dict(hidden_size=33, intermediate_size=127),
        dict(optimizer="adamw_8bit", weight_decay=0.3, learning_rate=0.004), "rope_parameters", "prompt full"),
    # fused modules with one A and B, a norm and a tied embedding trained beside them
    "lora-phi3": (
        dict(model_type="phi3", tie_word_embeddings=True, pad_token_id=0, bos_token_id=1, eos_token_id=2),
        dict(loraplus_lr_ratio=4.0), "rope_parameters", "prompt full",
        dict(r=5, lora_alpha=7, use_rslora=True, target_modules=["qkv_proj", "down_proj"],
             modules_to_save=["embed_tokens", "post_attention_layernorm"], ensure_weight_tying=True)),
    # what is dropped is each module's own, of q, k and v too, which read the same
    "lora-dropout": (
        dict(model_type="qwen2", hidden_size=131, intermediate_size=70, initializer_range=0.05),
        dict(seed=5, micro_batch_size=3), "rope_parameters", "prompt full",
        dict(r=4, lora_alpha=6, lora_dropout=0.3, target_modules="all-linear")),
    # some modules of a product without an adapter; blocks that no tensor fills, more than 256 of them
    "qlora-bias": (
        dict(model_type="qwen2", hidden_size=46, intermediate_size=402),
        dict(load_in_4bit=True, bnb_4bit_use_double_quant=True), "rope_parameters", "prompt full",
        dict(r=4, lora_alpha=8, target_modules=r".*\.1\..*(k|gate|down)_proj|.*v_proj")),
    "qlora-single": (
        dict(hidden_size=33, intermediate_size=53),
        dict(load_in_4bit=True, bnb_4bit_use_double_quant=False), "rope_parameters", "prompt full",
        dict(r=3, lora_alpha=6, target_modules=["q_proj", "up_proj"], layers_to_transform=[1])),
    # a directory that bitsandbytes has quantised, but for some modules; one of them beside others in a product
    "qlora-stored": (
        dict(model_type="qwen2", hidden_size=46, intermediate_size=402),
        dict(load_in_4bit=True, bnb_4bit_use_double_quant=True, stored_in_4bit=True), "rope_parameters", "prompt full",
        dict(r=4, lora_alpha=8, target_modules="all-linear")),
    # what is dropped is not scaled
    "dora-dropout": (
        dict(model_type="qwen2", hidden_size=34, intermediate_size=70),
        dict(seed=7), "rope_parameters", "prompt full",
        dict(r=4, lora_alpha=6, lora_dropout=0.3, use_dora=True, target_modules=["q_proj", "v_proj", "o_proj", "down_proj"])),
}


def write_model(settings, spelling, seed, folder):
    """Random weights, with norm weights off 1 and biases off 0 so that leaving one out shows."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(**settings)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for name, weight in model.named_parameters():
        if "norm" in name:  # of those with 1 + w around 0
            weight.data = ("gemma" not in settings["model_type"]) + 0.2 * torch.randn_like(weight)
        elif name.endswith("bias"):
            weight.data = 0.2 * torch.randn_like(weight)
        else:  # attention well away from uniform
            scale = 2.0 if "q_proj" in name or "k_proj" in name else 1.0
            weight.data = scale * config.initializer_range * torch.randn_like(weight)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    if settings.get("use_sliding_window") is False:  # transformers drops the numbers, published models keep them
        change_config(folder / "config.json", sliding_window=settings["sliding_window"], max_window_layers=1)
    if spelling != "rope_parameters":
        spell_as_older_models_do(folder / "config.json", "type" if spelling.endswith("type") else "rope_type")


def quantize_model(folder, twice):
    """In place, by transformers and bitsandbytes."""
    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=twice,
                                  llm_int8_skip_modules=["lm_head", "v_proj", "0.mlp.down_proj"])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, quantization_config=settings)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)


def dequantize_model(model):
    """What was stored in 4 bits, as plain modules."""
    for name, module in list(model.named_modules()):
        if isinstance(module, Linear4bit):
            plain = torch.nn.Linear(module.in_features, module.out_features, bias=module.bias is not None)
            plain.weight.data = dequantize_4bit(module.weight.data, module.weight.quant_state)
            plain.bias = module.bias
            model.set_submodule(name, plain)
    return model


def change_config(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}, indent=2) + "\n")


def spell_as_older_models_do(path, type_key):
    """rope_parameters is how transformers 5 writes it; most published models have rope_theta and rope_scaling."""
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"], kind = rope.pop("rope_theta"), rope.pop("rope_type")
    config["rope_scaling"] = None if kind == "default" else {type_key: kind, **rope}
    config["torch_dtype"] = config.pop("dtype")
    config.pop("layer_types", None)
    path.write_text(json.dumps(config, indent=2) + "\n")


def make_samples(vocab, job, masks, seed):
    """Token chains that can be learnt: a token is mostly followed by one of its two favourites."""
    rng = random.Random(seed)
    favourites = [(rng.randrange(vocab), rng.randrange(vocab)) for _ in range(vocab)]
    samples = []
    for index in range(job["global_batch_size"] * job["max_steps"]):
        length = {1: 4, 2: job["sequence_len"]}.get(index) or rng.randint(4, job["sequence_len"])
        ids = [rng.randrange(vocab)]
        while len(ids) < length:
            ids.append(rng.randrange(vocab) if rng.random() < 0.1 else favourites[ids[-1]][rng.random() < 0.3])
        start = {"full": 0, "prompt": rng.randint(1, length - 1), "last": length - 1, "none": length}[rng.choice(masks)]
        samples.append({"input_ids": ids, "labels": [-100] * start + ids[start:]})
    return samples


def exact_norms(model):
    """transformers' RMSNorm works in float32 whatever it is given; here it keeps the type of its input."""
    def forward(self, x):
        gemma = type(self).__name__.startswith("Gemma")
        eps = self.eps if gemma else self.variance_epsilon
        return (gemma + self.weight) * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = forward.__get__(module)


def exact_softmax(x, dim=None, dtype=None):
    return torch.softmax(x, dim=dim, dtype=None if x.dtype == torch.float64 else dtype)


def load(folder, dtype, changed=None):
    """The model; `changed` gets it in float32 and returns what is put into the type."""
    config = json.loads((folder / "config.json").read_text())
    attention = "sdpa" if dtype == torch.float64 else "eager"  # eager rounds its softmax to float32
    if config.get("attn_logit_softcapping"):  # which sdpa leaves out
        attention, F.softmax = "eager", exact_softmax
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention).eval()
    model = dequantize_model(model)
    model = changed(model) if changed else model
    if dtype == torch.float64:
        exact_norms(model.double())
    elif dtype == torch.bfloat16:
        for weight in model.parameters():  # not the rotary frequencies
            weight.data = weight.data.bfloat16()
    return model


def sample_loss(model, sample):
    """Sum of the cross-entropies over the labels from position 1 on, and their number; the logits."""
    logits = model(torch.tensor([sample["input_ids"]]), use_cache=False).logits[0]
    precise = logits if logits.dtype == torch.float64 else logits.float()
    labels = torch.tensor(sample["labels"][1:])
    count = int((labels != -100).sum())
    loss = F.cross_entropy(precise[:-1], labels, ignore_index=-100, reduction="sum") if count else precise.sum() * 0
    return loss, count, logits


def through_8_bits(moment, code):
    """The moment as it is read again, each block of 256 in units of its largest: the map's nearest number, of two the lower."""
    blocks = F.pad(moment.flatten().float(), (0, -moment.numel() % 256)).view(-1, 256)
    absmax = blocks.abs().amax(1, keepdim=True)
    scaled = blocks / torch.where(absmax > 0, absmax, 1)
    at = torch.searchsorted(code, scaled).clamp(1, 255)
    at = torch.where(scaled - code[at - 1] <= code[at] - scaled, at - 1, at)
    kept = code[at].to(moment.dtype) * absmax.to(moment.dtype)
    return kept.flatten()[:moment.numel()].view_as(moment)


def make_adapter(folder, settings, seed):
    """A trained adapter: B is not zero."""
    torch.manual_seed(seed)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32),
                           LoraConfig(task_type="CAUSAL_LM", **settings))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data = 0.1 * torch.randn_like(weight)
    model.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink(missing_ok=True)
    change_config(folder / "adapter" / "adapter_config.json", base_model_name_or_path="../model")


def splitmix64(state):
    z = state + 0x9E3779B97F4A7C15 & 2**64 - 1
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & 2**64 - 1
    z = (z ^ z >> 27) * 0x94D049BB133111EB & 2**64 - 1
    return z ^ z >> 31


def philox(counter, key):
    """Philox4x32-10: four words for each of the counters, an array [..., 4] of uint64 that hold 32 bits."""
    x0, x1, x2, x3 = np.moveaxis(counter, -1, 0)
    low, key0, key1 = np.uint64(2**32 - 1), key & 2**32 - 1, key >> 32
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * x0, np.uint64(0xCD9E8D57) * x2
        x0, x1, x2, x3 = b >> np.uint64(32) ^ x1 ^ np.uint64(key0), b & low, a >> np.uint64(32) ^ x3 ^ np.uint64(key1), a & low
        key0, key1 = key0 + 0x9E3779B9 & 2**32 - 1, key1 + 0xBB67AE85 & 2**32 - 1
    return np.stack((x0, x1, x2, x3), -1)


class Dropout(torch.nn.Module):
    """The dropout of kernels/dropout.h, of samples that come one at a time."""
    step, sample = 0, 0  # of all

    def __init__(self, module, seed, rate):
        super().__init__()
        self.key, self.rate = splitmix64(seed) ^ xxhash.xxh3_64_intdigest(module.encode()), rate

    def forward(self, x):
        if Dropout.step == 0:
            return x
        positions, columns = x.shape[-2:]
        counter = np.zeros((positions, -(-columns // 128) * 32, 4), np.uint64)
        counter[..., 0] += np.arange(counter.shape[1], dtype=np.uint64)
        counter[..., 1] += np.arange(positions, dtype=np.uint64)[:, None]
        counter[..., 2:] += np.array((Dropout.sample, Dropout.step), np.uint64)
        words = philox(counter, self.key).reshape(positions, -1, 32, 4).swapaxes(2, 3).reshape(positions, -1)[:, :columns]
        return torch.where(torch.from_numpy(words >= int(np.float32(self.rate) * 2.0**32)), x / (1 - self.rate), 0)


def drop_as_described(model, seed):
    """In place of PEFT's dropout layers."""
    for name, module in list(model.named_modules()):
        for adapter, layer in list(getattr(module, "lora_dropout", {}).items()):
            if isinstance(layer, torch.nn.Dropout):
                module.lora_dropout[adapter] = Dropout(name.removeprefix("base_model.model."), seed, layer.p)
                module.training = True  # DoRA's asks


def through_4_bits(weight, twice):
    packed, state = quantize_4bit(weight.contiguous(), blocksize=64, quant_type="nf4", compress_statistics=False)
    if twice:
        mean = state.absmax.double().mean().float()
        state.absmax = through_8_bits(state.absmax - mean, create_dynamic_map(signed=True)) + mean
    return dequantize_4bit(packed, state).reshape(weight.shape).float()


def load_case(folder, job, dtype):
    """The model of a case, its base quantised and with its adapter where the case has them."""
    def changed(model):
        if job.get("load_in_4bit") and not job.get("stored_in_4bit"):
            for name, module in model.named_modules():
                if isinstance(module, torch.nn.Linear) and ".layers." in name:
                    module.weight.data = through_4_bits(module.weight.data, job["bnb_4bit_use_double_quant"])
        if "lora_model_dir" in job:
            model = PeftModel.from_pretrained(model, folder / job["lora_model_dir"], is_trainable=True).eval()
            drop_as_described(model, job.get("seed", 42))
        return model
    return load(folder / "model", dtype, changed)


def keep_moments_in_8_bits(optimizer):
    for weight, state in optimizer.state.items():
        if weight.numel() >= 4096:
            for name, signed in (("exp_avg", True), ("exp_avg_sq", False)):
                state[name].copy_(through_8_bits(state[name], create_dynamic_map(signed=signed)))


def train(folder, job, samples, dtype):
    """The series of a run, and the weights that it ends with."""
    model = load_case(folder, job, dtype)
    names, weights = zip(*((name, weight) for name, weight in model.named_parameters() if weight.requires_grad))
    master = [w.detach().clone().to(torch.float64 if dtype == torch.float64 else torch.float32) for w in weights]
    if dtype == torch.bfloat16:  # master weights come from the file, not from their rounding
        master = [w.detach().clone() for w in load_case(folder, job, torch.float32).parameters() if w.requires_grad]
    decays = [not (name.endswith("bias") or "norm" in name) for name in names]
    ratio = job.get("loraplus_lr_ratio", 1.0)
    groups = [dict(params=[m], weight_decay=job["weight_decay"] * decay,
                   lr=job["learning_rate"] * (ratio if "lora_B" in name else 1))
              for m, decay, name in zip(master, decays, names)]
    optimizer = torch.optim.AdamW(groups, lr=job["learning_rate"], betas=(job["adam_beta1"], job["adam_beta2"]),
                                  eps=job["adam_epsilon"])
    scheduler = get_scheduler(job["lr_scheduler"], optimizer, num_warmup_steps=job["warmup_steps"],
                              num_training_steps=job["max_steps"], scheduler_specific_kwargs=job["lr_scheduler_kwargs"])
    series = {key: [] for key in ("loss", "grad_norm", "learning_rate", "tokens", "supervised_tokens")}
    for step in range(job["max_steps"]):
        batch = samples[step * job["global_batch_size"]:][:job["global_batch_size"]]
        supervised = sum(label != -100 for sample in batch for label in sample["labels"][1:])
        for m in master:
            m.grad = torch.zeros_like(m)
        total = 0.0
        for number, sample in enumerate(batch):
            Dropout.step, Dropout.sample = step + 1, step * job["global_batch_size"] + number
            loss, _, _ = sample_loss(model, sample)
            (loss / supervised).backward()
            total += loss.item()
            for m, w in zip(master, weights):
                m.grad += w.grad.to(m.dtype)
                w.grad = None
        norm = torch.nn.utils.clip_grad_norm_(master, job["max_grad_norm"] or math.inf)
        values = (total / supervised, norm.item(), min(scheduler.get_last_lr()), sum(len(s["input_ids"]) for s in batch), supervised)
        for key, value in zip(series, values):
            series[key].append(value)
        optimizer.step()
        if job.get("optimizer") == "adamw_8bit":
            keep_moments_in_8_bits(optimizer)
        scheduler.step()
        for m, w in zip(master, weights):
            w.data.copy_(m)
    Dropout.step = 0
    return series, dict(zip(names, master))


def make_case(name, number):
    model_changes, job_changes, spelling, masks, *adapter = CASES[name]
    folder, job = OUT / name, {**JOB, **job_changes, **({"adapter": "lora", "lora_model_dir": "adapter"} if adapter else {})}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_model({**MODEL, **model_changes}, spelling, 1000 + number, folder / "model")
    if job.get("stored_in_4bit"):
        quantize_model(folder / "model", job["bnb_4bit_use_double_quant"])
    if adapter:
        make_adapter(folder, adapter[0], 3000 + number)
    samples = make_samples(MODEL["vocab_size"], job, masks.split(), 2000 + number)
    (folder / "train.jsonl").write_text("".join(json.dumps(s, separators=(",", ":")) + "\n" for s in samples))
    (folder / "job.json").write_text(json.dumps(job, indent=1) + "\n")

    exact, final = train(folder, job, samples, torch.float64)
    in_bf16 = "optimizer" not in job  # rounding to bf16 flips so many codes of 8 bits that two sound programs differ by a percent
    half, _ = train(folder, job, samples, torch.bfloat16) if in_bf16 else ({}, None)
    first = load_case(folder, job, torch.float64)
    with torch.no_grad():
        evaluation = [sample_loss(first, sample)[:2] for sample in samples[:4]]
    expected = {
        "case": name,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "step": list(range(1, job["max_steps"] + 1)),
        **exact,
        **({"bf16": half["loss"], "grad_norm_bf16": half["grad_norm"]} if in_bf16 else {}),
        "eval_loss": sum(loss.item() for loss, _ in evaluation) / sum(count for _, count in evaluation),  # first 4 samples
        "final_weights_l2": {weight.replace(".default", "").replace("modules_to_save.", ""): value.norm().item()
                             for weight, value in final.items()},
    }
    rows = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in expected.items())
    (folder / "expected.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")
    worst = max((abs(a - b) / b for a, b in zip(half.get("loss", []), exact["loss"])), default=math.nan)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    print(f"{name:18s} loss {exact['loss'][0]:.4f} -> {exact['loss'][-1]:.4f}, bf16 within {worst:.1e}, "
          f"grad norm {min(exact['grad_norm']):.2f} to {max(exact['grad_norm']):.2f}, {size / 1e3:.0f} kB", flush=True)


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for number, name in enumerate(CASES):
        if name in sys.argv[1:] or len(sys.argv) == 1:
            make_case(name, number)


if __name__ == "__main__":
    main()
