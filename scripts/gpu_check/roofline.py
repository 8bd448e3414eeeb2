"""A roofline model: what a kernel and a training step take at the speeds that were measured on the same device.

A call moves its bytes at the copy bandwidth or does its operations at the GEMM peak, whichever takes longer, and is launched.
How many bytes and operations, bench_kernels says, which counts the operands of every call of any model's sizes; here
stands how often a step makes each of these calls.  What lies between is time lost, by the kernels or between them.
"""
from collections import Counter
from dataclasses import dataclass

# A layer's calls, (kernel, call) as bench_kernels names them: src/model/layer.cpp.
FORWARD = [("rmsnorm_forward", ""), ("linear_forward", "q, k, v"), ("rope_forward", ""),
           ("attention_forward", "full documents"), ("linear_forward", "o, added"), ("rmsnorm_forward", ""),
           ("linear_forward", "gate, up"), ("gated_forward", ""), ("linear_forward", "down, added")]
RECOMPUTED = {"none": [], "selective": [("rmsnorm_forward", "")] * 2,
              "full": [call for call in FORWARD if call[0] not in ("attention_forward", "gated_forward") and
                       call != ("linear_forward", "down, added")]}
BACKWARD = [("linear_backward_input", "down"), ("gated_backward", ""), ("linear_backward_weight", "down"),
            ("linear_backward_weight", "gate, up"), ("linear_backward_input", "gate, up"),
            ("rmsnorm_backward", "added to the residual's"),
            ("linear_backward_weight", "o"), ("linear_backward_input", "o"), ("attention_backward", "full documents"),
            ("rope_backward", ""), ("linear_backward_weight", "q, k, v"), ("linear_backward_input", "q, k, v"),
            ("rmsnorm_backward", "added to the residual's")]
BIAS_BACKWARD = [("bias_backward", "q, k, v")]  # of models whose products of q, k and v have a bias
# The head of a micro-batch, and of a chunk of its tokens: src/model/head.cpp.
HEAD = [("embedding_forward", "rows with loss"), ("rmsnorm_forward", ""), ("rmsnorm_backward", ""), ("scatter_rows", "")]
HEAD_CHUNK = [("linear_forward", "head"), ("cross_entropy", "with gradient"), ("linear_backward_weight", "head"),
              ("linear_backward_input", "head")]
# The ends of a micro-batch, and of an update: src/shard/sharded_model.cpp, src/optim/adamw.cpp.
BEGIN, END = [("rope_table", ""), ("embedding_forward", "tokens")], [("embedding_backward", "")]
OPTIMISER = [("squared_norm", ""), ("adamw", "")]

WEIGHT_GRADIENT = "linear_backward_weight"
GATHERED, REDUCED = 2 * 2, 4  # bytes a weight of full_shard: bf16 for both passes; its gradient, fp32


@dataclass(frozen=True)
class Ceilings:
    copy_bytes_per_second: float
    gemm_flops_per_second: dict  # by type
    launch_seconds: float

    @classmethod
    def of(cls, measured):
        return cls(**{name: measured[name] for name in cls.__dataclass_fields__})

    def seconds(self, call):
        """Of one of bench_kernels' calls."""
        return self.launch_seconds + max(call["bytes"] / self.copy_bytes_per_second,
                                         call["flops"] / self.gemm_flops_per_second[call["dtype"]])


def sizes_of(shape):
    """Of a micro-batch, by bench_kernels' letters."""
    return {"C": shape.of("hidden_size"), "H": shape.of("num_attention_heads"), "G": shape.of("num_key_value_heads"),
            "D": shape.head_dim, "F": shape.of("intermediate_size"), "V": shape.of("vocab_size"),
            "T": shape.micro_batch * shape.sequence_len, "longest": shape.sequence_len}


def calls_of_update(shape, sizes):
    """{part: {(kernel, call): how often}}.  sizes: bench_kernels', so that what it calls with fewer tokens or weights than
    an update has counts as often as it takes to cover them."""
    L, batches = shape.of("num_hidden_layers"), shape.accumulation
    chunks, pieces = sizes["T"] / sizes["loss_rows"], shape.weights / sizes["shard"]
    backward = BACKWARD + (BIAS_BACKWARD if shape.of("model_type") == "qwen2" else [])
    return {"forward": _times(batches, BEGIN) + _times(batches * L, FORWARD),
            # what the last layer's forward pass left is still there
            "recomputation": _times(batches * (L - 1), RECOMPUTED[shape.checkpointing]),
            "head": _times(batches, HEAD) + _accumulated(_times(batches * chunks, HEAD_CHUNK), first=1),
            "backward": _accumulated(_times(batches * L, backward), first=L) + _times(batches, END),
            "optimiser": _times(pieces, OPTIMISER)}


def _times(count, calls):
    return Counter({call: count * calls.count(call) for call in calls})


def _accumulated(calls, first):
    """An update's `first` gradients of each matrix are written, the others added to what is there."""
    of_weights = Counter({call: count for call, count in calls.items() if call[0] == WEIGHT_GRADIENT})
    added = Counter({(name, f"{call}, accumulated"): count - first for (name, call), count in of_weights.items()})
    return calls - of_weights + Counter(dict.fromkeys(of_weights, first)) + added


def by_call(kernels):
    """bench_kernels' list by (kernel, call): a call in bf16, or in fp32 where that is its only type."""
    return {(kernel["name"], kernel["call"]): kernel for dtype in ("f32", "bf16")
            for kernel in kernels if kernel["dtype"] == dtype}


def communication_seconds(shape, ranks, bytes_per_second):
    """Of an update of full_shard, over a network that a rank sends so much to."""
    a_batch = (GATHERED + REDUCED) * shape.weights * (ranks - 1) / ranks
    return shape.accumulation * a_batch / bytes_per_second


@dataclass(frozen=True)
class Update:
    """Seconds of an update, by part."""
    parts: dict
    communication: float = 0  # none of one rank

    @property
    def hidden(self):
        """The passes hide communication or are hidden by it; the optimiser comes behind both."""
        return max(self.passes, self.communication) + self.parts["optimiser"]

    @property
    def in_turns(self):
        return self.passes + self.communication + self.parts["optimiser"]

    @property
    def passes(self):
        return sum(seconds for part, seconds in self.parts.items() if part != "optimiser")


def predict(shape, counted, ceilings):
    """The update of a shape on one rank; None where a call of it was not counted.  counted: bench_kernels' report of its
    sizes."""
    return _sum(shape, counted, ceilings.seconds)


def by_kernels(shape, measured):
    """The same out of the times that the kernels took alone; None where they were measured with other sizes, or not all."""
    has_sizes = measured["sizes"].items() >= sizes_of(shape).items()
    return _sum(shape, measured, lambda call: call["seconds"]) if has_sizes else None


def update_against_model(shape, predicted, kernels_alone, tokens_per_second):
    """Of a shape that trained at that rate.  predicted, kernels_alone: Updates, the latter where it is known."""
    seconds, rate = shape.tokens / tokens_per_second, shape.tokens / predicted.hidden
    return {"seconds": seconds, "predicted_seconds": predicted.hidden, "predicted_in_turns_seconds": predicted.in_turns,
            "measured_over_predicted": seconds / predicted.hidden, "lost_seconds": seconds - predicted.hidden,
            "predicted_tokens_per_second": rate, "predicted_c_mfu": shape.c_mfu(rate),
            "predicted_parts": predicted.parts, "predicted_communication_seconds": predicted.communication,
            "kernels_alone_seconds": kernels_alone and kernels_alone.hidden,
            "kernels_alone_parts": kernels_alone and kernels_alone.parts}


def _sum(shape, report, seconds_of):
    kernels, parts = by_call(report["kernels"]), calls_of_update(shape, report["sizes"])
    if not set().union(*parts.values()) <= kernels.keys():
        return None
    return Update({part: sum(count * seconds_of(kernels[call]) for call, count in calls.items())
                   for part, calls in parts.items()})


def against_model(measured, shape):
    """bench_kernels' kernels with what the model says of each; most time lost in an update of the shape, whose sizes they
    have, first; behind them those that it does not call."""
    ceilings, known = Ceilings.of(measured), by_call(measured["kernels"])
    calls = sum(calls_of_update(shape, measured["sizes"]).values(), Counter())

    def compared(kernel):
        key, predicted = (kernel["name"], kernel["call"]), ceilings.seconds(kernel)
        count = calls[key] if kernel is known[key] else 0
        lost = kernel["seconds"] - predicted
        return {**kernel, "predicted_seconds": predicted, "measured_over_predicted": kernel["seconds"] / predicted,
                "calls_of_update": count, "lost_seconds_of_update": count * lost, "lost_seconds": lost}

    return sorted(map(compared, measured["kernels"]), reverse=True,
                  key=lambda kernel: (kernel["calls_of_update"] > 0, kernel["lost_seconds_of_update"], kernel["lost_seconds"]))
