"""The peer of the training benchmark: the same shape in PyTorch with transformers' model, on one device.

    peer.py MODEL DATA.jsonl --sequence-len 4096 --micro-batch 2 --accumulation 4 [--steps 5] [--warm-up 3] …

What a user of torchtitan runs on one GPU: fp32 weights, gradients and moments, bf16 autocast, every decoder layer and the
loss over the head through torch.compile, cuDNN's or flash attention (the first that PyTorch has for the shape), fused
AdamW, gradient clipping.  --parameters bf16 keeps all of that in bf16 instead, --compile model compiles the whole model.
--adapter LoRA trains peft's adapter, in fp32, on all linear modules; QLoRA with bitsandbytes' NF4 and double quantisation below it.
Prints one JSON line: seconds of each step of the warm-up and behind it, tokens of a step, loss of each step, peak memory.
"""
import argparse
import contextlib
import json
import os
import resource
import sys
import time

sys.path.pop(0)  # this folder: transformers looks for packages by names that files here have
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")  # less of the memory lost between blocks

import torch  # noqa: E402
import transformers  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

ATTENTION = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a directory with config.json; the weights are random")
    parser.add_argument("data", help="rows of sequence-len tokens")
    parser.add_argument("--sequence-len", type=int, required=True)
    parser.add_argument("--micro-batch", type=int, required=True)
    parser.add_argument("--accumulation", type=int, required=True)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--compile", choices=("layers", "model", "none"), default="layers")
    parser.add_argument("--parameters", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--adapter", choices=("LoRA", "QLoRA"))
    parser.add_argument("--lora-r", type=int, default=16)
    return parser.parse_args()


def quantize(model):
    """The linear modules of the layers, as transformers' load_in_4bit makes them."""
    from bitsandbytes.nn import Linear4bit, Params4bit

    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and ".layers." in name:
            small = Linear4bit(module.in_features, module.out_features, module.bias is not None, torch.bfloat16,
                               compress_statistics=True, quant_type="nf4", device=module.weight.device)
            small.weight = Params4bit(module.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4")
            small.bias = module.bias
            model.set_submodule(name, small.to(module.weight.device))
    model.is_loaded_in_4bit = True


def add_adapter(model, arguments):
    """In place."""
    from peft import LoraConfig, get_peft_model

    if arguments.adapter == "QLoRA":
        quantize(model)
    r = arguments.lora_r
    get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=r, lora_alpha=2 * r, target_modules="all-linear"))


def trained(model):
    return [weight for weight in model.parameters() if weight.requires_grad]


def build(arguments):
    config = AutoConfig.from_pretrained(arguments.model)
    config.use_cache = False
    dtype = torch.bfloat16 if arguments.parameters == "bf16" else torch.float32
    with torch.device(arguments.device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    if arguments.adapter:
        add_adapter(model, arguments)
    model.train()
    if arguments.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if arguments.compile == "layers":
        torch._dynamo.config.recompile_limit = 64
        for layer in model.model.layers:
            layer.compile(dynamic=False)
    return model


def head_loss(hidden, weight, targets):
    logits = torch.nn.functional.linear(hidden, weight)
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100)


def loss_of(model, arguments):
    """A function of ids [micro-batch, T] that gives their mean loss."""
    if arguments.compile == "model":
        compiled = torch.compile(model, dynamic=False)
        return lambda ids: compiled(input_ids=ids, labels=ids).loss
    of_head = torch.compile(head_loss, dynamic=False) if arguments.compile == "layers" else head_loss

    def loss(ids):
        targets = torch.cat([ids[:, 1:], ids.new_full((ids.shape[0], 1), -100)], dim=1)
        return of_head(model.model(input_ids=ids).last_hidden_state, model.lm_head.weight, targets)

    return loss


def read_batches(arguments):
    """The ids of each update: accumulation tensors [micro-batch, T]."""
    rows = []
    with open(arguments.data, encoding="utf-8") as lines:
        for line in lines:
            ids = json.loads(line)["input_ids"]
            if len(ids) == arguments.sequence_len:
                rows.append(ids)
    usable = len(rows) - len(rows) % (arguments.micro_batch * arguments.accumulation)
    ids = torch.tensor(rows[:usable], device=arguments.device)
    return ids.view(-1, arguments.accumulation, arguments.micro_batch, arguments.sequence_len)


def attention_in_use(model, arguments):
    """The backend that PyTorch takes for the model's queries and keys."""
    config = model.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    q, k = (torch.zeros(arguments.micro_batch, heads, arguments.sequence_len, head_dim, device=arguments.device,
                        dtype=torch.bfloat16, requires_grad=True)
            for heads in (config.num_attention_heads, config.num_key_value_heads))
    return SDPBackend(torch._fused_sdp_choice(q, k, k, is_causal=True, enable_gqa=True)).name


def synchronize(arguments):
    if arguments.device == "cuda":
        torch.cuda.synchronize()


def train(model, arguments):
    optimizer = torch.optim.AdamW(trained(model), lr=1e-5, weight_decay=0.0, fused=True)
    loss_of_ids, batches = loss_of(model, arguments), read_batches(arguments)
    autocast = torch.autocast(arguments.device, dtype=torch.bfloat16, enabled=arguments.parameters == "fp32" or bool(arguments.adapter))
    seconds, losses = [], []
    for step in range(arguments.warm_up + arguments.steps):
        synchronize(arguments)
        begin, total = time.perf_counter(), 0.0
        for ids in batches[step % len(batches)]:
            with autocast:
                loss = loss_of_ids(ids) / arguments.accumulation
            loss.backward()
            total = total + loss.detach()
        torch.nn.utils.clip_grad_norm_(trained(model), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(total))
        synchronize(arguments)
        seconds.append(time.perf_counter() - begin)
    return seconds, losses


def main():
    arguments = parse()
    torch.manual_seed(1)
    torch.set_float32_matmul_precision("high")
    chosen = sdpa_kernel(ATTENTION, set_priority=True) if arguments.device == "cuda" else contextlib.nullcontext()
    with chosen:
        model = build(arguments)
        attention = attention_in_use(model, arguments)
        if arguments.device == "cuda":
            torch.cuda.reset_peak_memory_stats()  # of training, not of what quantised the base
        seconds, losses = train(model, arguments)
    peak = (torch.cuda.max_memory_allocated() if arguments.device == "cuda"
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    tokens = arguments.sequence_len * arguments.micro_batch * arguments.accumulation
    print(json.dumps({"warm_up_seconds": seconds[:arguments.warm_up], "seconds": seconds[arguments.warm_up:],
                      "tokens": tokens, "loss": losses, "peak_bytes": peak, "attention": attention,
                      "versions": f"torch {torch.__version__}, transformers {transformers.__version__}"}))


if __name__ == "__main__":
    main()
