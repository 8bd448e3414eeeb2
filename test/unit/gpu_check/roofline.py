"""roofline.py: the model of scripts/gpu_check/roofline.py, by hand."""
import math
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "e2e"))
from harness import require, skip  # noqa: E402

if sys.version_info < (3, 10):
    skip("scripts/gpu-check needs Python 3.10")
from gpu_check.roofline import (Ceilings, Update, against_model, by_kernels, calls_of_update,  # noqa: E402
                                communication_seconds, predict, sizes_of, update_against_model)
from gpu_check.shapes import LLAMA32_1B, QWEN25_3B  # noqa: E402

# Two layers, two micro-batches of four tokens an update, all logits at once, a shard of all weights.
SHAPE = replace(LLAMA32_1B, sequence_len=4, micro_batch=1, accumulation=2,
                config={**LLAMA32_1B.config, "num_hidden_layers": 2})
SIZES = {**sizes_of(SHAPE), "loss_rows": 4, "shard": SHAPE.weights}
CEILINGS = Ceilings(copy_bytes_per_second=100.0, gemm_flops_per_second={"bf16": 1000.0, "f32": 10.0}, launch_seconds=0.5)
A_CALL_A_SECOND = replace(CEILINGS, copy_bytes_per_second=1.0, launch_seconds=0)
FEW_CALLS = {("rope_table", ""), ("squared_norm", "")}  # in fp32 alone


def call(name="cast", call="", dtype="bf16", **figures):
    return {"name": name, "call": call, "shape": "[1]", "dtype": dtype, "bytes": 0, "flops": 0, **figures}


def every_call(shape, sizes=SIZES, **figures):
    """bench_kernels' report where each call has these figures."""
    calls = set().union(*calls_of_update(shape, sizes).values())
    return {"sizes": sizes, "kernels": [call(*key, dtype="f32" if key in FEW_CALLS else "bf16", **figures)
                                        for key in sorted(calls)]}


def a_call_takes_the_longer_of_two_times_and_its_launch():
    memory, products = call(bytes=400, flops=1000), call(bytes=100, flops=7000)
    require(CEILINGS.seconds(memory) == 4 + 0.5, "400 bytes at 100 bytes/s, and a launch")
    require(CEILINGS.seconds(products) == 7 + 0.5, "7000 FLOP at 1000 FLOP/s, and a launch")
    require(CEILINGS.seconds({**products, "dtype": "f32"}) == 700 + 0.5, "fp32 has a peak of its own")
    twice = replace(CEILINGS, copy_bytes_per_second=200.0)
    require(twice.seconds(memory) - 0.5 == (CEILINGS.seconds(memory) - 0.5) / 2 and
            twice.seconds(products) == CEILINGS.seconds(products), "twice the bandwidth halves what is bound by memory alone")


def an_update_makes_the_calls_of_the_program():
    def counts(shape):
        return predict(shape, every_call(shape, bytes=1), A_CALL_A_SECOND).parts

    none = {"forward": 2 * (2 + 2 * 9), "recomputation": 0, "head": 2 * (4 + 4), "backward": 2 * (2 * 13 + 1), "optimiser": 2}
    require(counts(SHAPE) == none, "two layers, two micro-batches", counts(SHAPE))
    require(counts(replace(SHAPE, checkpointing="selective"))["recomputation"] == 2 * 1 * 2,
            "selective makes both norms of all layers but the last again")
    require(counts(replace(SHAPE, checkpointing="full"))["recomputation"] == 2 * 1 * 6,
            "full makes all again but attention, SwiGLU and the layer's output")
    qwen = replace(SHAPE, config={**SHAPE.config, "model_type": QWEN25_3B.of("model_type")})
    require(counts(qwen)["backward"] == none["backward"] + 2 * 2, "a bias of q, k and v has a gradient")

    parts = calls_of_update(SHAPE, {**SIZES, "loss_rows": 1, "shard": SHAPE.weights / 8})

    def gradients(part, matrix):
        return [parts[part]["linear_backward_weight", call] for call in (matrix, f"{matrix}, accumulated")]

    require(gradients("backward", "o") == [2, 2],
            "the first micro-batch writes the gradients of a layer's matrices, the other adds to them")
    require(gradients("head", "head") == [1, 7], "the head's is written by the first of its chunks")
    require(parts["head"]["cross_entropy", "with gradient"] == 8 and parts["optimiser"]["adamw", ""] == 8,
            "what was counted for fewer tokens or weights counts as often as it takes")


def an_update_is_the_sum_of_its_parts():
    update = predict(SHAPE, every_call(SHAPE, bytes=300, flops=2000), CEILINGS)
    calls = sum(sum(part.values()) for part in calls_of_update(SHAPE, SIZES).values())
    of_fp32 = 2 + 1  # rope_table for both micro-batches, squared_norm
    require(math.isclose(sum(update.parts.values()), (calls - of_fp32) * 3.5 + of_fp32 * 200.5) and
            update.hidden == update.in_turns == sum(update.parts.values()), "of one rank", update)
    by_memory, faster = every_call(SHAPE, bytes=300), replace(CEILINGS, copy_bytes_per_second=200.0, launch_seconds=0.25)
    require(math.isclose(2 * predict(SHAPE, by_memory, faster).hidden, predict(SHAPE, by_memory, CEILINGS).hidden),
            "where memory and launches are twice as fast, an update of calls bound by memory is")
    short = every_call(SHAPE, bytes=1)
    short["kernels"].pop()
    require(predict(SHAPE, short, CEILINGS) is None, "an update of which a call was not counted is not predicted")


def communication_is_hidden_or_not():
    parts = {"forward": 2.0, "recomputation": 0.0, "head": 1.0, "backward": 4.0, "optimiser": 1.0}
    require((Update(parts, 5.0).hidden, Update(parts, 5.0).in_turns) == (8, 13), "hidden behind the passes it takes no time")
    require(Update(parts, 9.0).hidden == 10, "the passes hide behind what takes longer than they do")
    require(communication_seconds(SHAPE, 1, 1e9) == 0, "one rank has nothing to send")
    require(communication_seconds(SHAPE, 4, 1e9) == 2 * (2 + 2 + 4) * SHAPE.weights * 3 / 4 / 1e9,
            "four ranks: three quarters of the weights in bf16 for each pass, of the gradients in fp32, in each micro-batch")


def figures_of_an_update():
    predicted = Update({"forward": 1.0, "recomputation": 0.0, "head": 0.0, "backward": 0.5, "optimiser": 0.5})
    found = update_against_model(SHAPE, predicted, None, tokens_per_second=2.0)  # 8 tokens an update
    require((found["seconds"], found["predicted_seconds"], found["measured_over_predicted"], found["lost_seconds"],
             found["predicted_tokens_per_second"]) == (4, 2, 2, 2, 4), "seconds, ratio, time lost, tokens/s", found)
    require(found["predicted_c_mfu"] == SHAPE.c_mfu(4), "MFU at the predicted rate")


def kernels_stand_in_the_order_of_time_lost():
    measured = {**every_call(SHAPE, bytes=0, seconds=0.5), "copy_bytes_per_second": 100.0, "launch_seconds": 0.5,
                "gemm_flops_per_second": CEILINGS.gemm_flops_per_second}
    by_key = {(kernel["name"], kernel["call"]): kernel for kernel in measured["kernels"]}
    by_key["adamw", ""]["seconds"] = 2.5         # 2 s lost, once
    by_key["gated_forward", ""]["seconds"] = 1  # half a second, four times: as much
    by_key["rope_forward", ""]["seconds"] = 1.5  # one second, four times
    measured["kernels"] += [call("attention_decode", seconds=1000), call("rope_forward", dtype="f32", seconds=2000)]
    rows = against_model(measured, SHAPE)
    first = [rows[0][key] for key in ("name", "lost_seconds_of_update", "calls_of_update", "predicted_seconds",
                                      "measured_over_predicted")]
    require(first == ["rope_forward", 4, 4, 0.5, 3], "most of an update's time first", first)
    require({row["name"] for row in rows[1:3]} == {"adamw", "gated_forward"} and
            [row["seconds"] for row in rows[-2:]] == [2000, 1000], "what an update does not call comes last", rows[-2:])
    require(by_kernels(SHAPE, measured).parts["optimiser"] == 0.5 + 2.5, "the kernels' own times, summed")
    require(by_kernels(replace(SHAPE, micro_batch=3), measured) is None, "which say nothing of other sizes")


a_call_takes_the_longer_of_two_times_and_its_launch()
an_update_makes_the_calls_of_the_program()
an_update_is_the_sum_of_its_parts()
communication_is_hidden_or_not()
figures_of_an_update()
kernels_stand_in_the_order_of_time_lost()
