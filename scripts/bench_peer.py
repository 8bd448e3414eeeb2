"""The peer of scripts/bench.py: the same training in PyTorch with transformers' model, over gloo.

    bench_peer.py MODEL DATA.jsonl [--precision bf16|fp32] [--ranks 2] [--steps 6] [--threads 1] [--lora-r 16]

The whole model with FSDP2 (fully_shard); with --lora-r an adapter on all linear modules by peft with DistributedDataParallel, the
base in the precision asked for.  Micro-batch 1, full activation checkpointing, fused AdamW, gradient clipping, one sequence a
rank and step.  Prints one JSON
line: seconds of each step, loss of each step, peak resident memory of each rank, seconds from start to the first step.
"""
import argparse
import json
import os
import resource
import socket
import time

STARTED = time.time()
os.environ["HF_HUB_OFFLINE"] = "1"


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--lora-r", type=int, default=0)
    return parser.parse_args()


def load(arguments, dtype):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=dtype, attn_implementation="sdpa")
    model.train()
    model.config.use_cache = False
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model


def adapted(arguments):
    """peft keeps the adapter in fp32 and casts its input."""
    import torch
    from peft import LoraConfig, get_peft_model
    from torch.nn.parallel import DistributedDataParallel

    model = load(arguments, torch.bfloat16 if arguments.precision == "bf16" else torch.float32)
    model.enable_input_require_grads()
    r = arguments.lora_r
    config = LoraConfig(task_type="CAUSAL_LM", r=r, lora_alpha=2 * r, target_modules="all-linear")
    return DistributedDataParallel(get_peft_model(model, config))


def sharded(arguments, mesh):
    """fp32 master weights, compute in the precision asked for."""
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    model = load(arguments, torch.float32)
    policy = MixedPrecisionPolicy()
    if arguments.precision == "bf16":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    return model


def train(rank, arguments, port, results):
    import torch
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh

    torch.set_num_threads(arguments.threads)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(arguments.ranks))
    dist.init_process_group("gloo")
    model = adapted(arguments) if arguments.lora_r else sharded(arguments, init_device_mesh("cpu", (arguments.ranks,)))
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0, fused=True)
    with open(arguments.data, encoding="utf-8") as lines:
        rows = [torch.tensor([json.loads(line)["input_ids"]]) for line in lines]

    seconds, losses, first = [], [], 0.0
    for step in range(arguments.steps):
        dist.barrier()
        begin = time.perf_counter()
        ids = rows[(step * arguments.ranks + rank) % len(rows)]
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        total = loss.detach().float()
        dist.all_reduce(total)
        losses.append(total.item() / arguments.ranks)
        seconds.append(time.perf_counter() - begin)
        first = first or time.time() - STARTED
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    results.put((rank, seconds, losses, peak, first))
    dist.barrier()
    dist.destroy_process_group()


def main():
    arguments = parse()
    import torch.multiprocessing as processes

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    results = processes.get_context("spawn").SimpleQueue()
    processes.spawn(train, (arguments, port, results), nprocs=arguments.ranks)
    ranks = sorted(results.get() for _ in range(arguments.ranks))
    print(json.dumps({"seconds": ranks[0][1], "loss": ranks[0][2], "peak_bytes": [r[3] for r in ranks],
                      "first_step_seconds": ranks[0][4]}))


if __name__ == "__main__":
    main()
