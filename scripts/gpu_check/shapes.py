"""The models of the benchmark: config.json as Hugging Face has it, what a step computes, what fits into a GPU."""
import json
from dataclasses import dataclass, replace

H100_FLOPS = 989.4e12  # bf16, dense; NVIDIA's data sheet of the H100 SXM
MEMORY_SHARE = 0.85    # of the GPU's memory that a model may take with what is beside the plan; the peer needs some more
LORA_R = 16            # on every linear of the layers
STATE_BYTES = {"": 18, "LoRA": 2, "QLoRA": 0.6}  # of a weight: master, moments, gradient and bf16; the base alone, in bf16 or NF4
BESIDE_PLAN = 2 << 30  # bytes: the kernels' workspace, CUDA's context, the libraries

LLAMA3_ROPE = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 8192}
LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-5,
         "attention_dropout": 0.0, "torch_dtype": "bfloat16"}


@dataclass(frozen=True)
class Shape:
    name: str
    config: dict
    sequence_len: int
    micro_batch: int   # sequences at once
    accumulation: int  # micro-batches an update
    checkpointing: str = "none"  # both programs keep all activations
    note: str = ""
    adapter: str = ""  # LoRA or QLoRA: on all linear modules, by ./train and by peft

    def of(self, key):
        return self.config[key]

    @property
    def sequences(self):
        """Of one update."""
        return self.micro_batch * self.accumulation

    @property
    def head_dim(self):
        return self.config.get("head_dim", self.of("hidden_size") // self.of("num_attention_heads"))

    @property
    def layer_weights(self):
        C, F, H, G, D = (self.of("hidden_size"), self.of("intermediate_size"), self.of("num_attention_heads"),
                         self.of("num_key_value_heads"), self.head_dim)
        qkv_bias = (H + 2 * G) * D if self.of("model_type") == "qwen2" else 0
        return (2 * H + 2 * G) * D * C + 3 * C * F + 2 * C + qkv_bias

    @property
    def table_weights(self):
        return self.of("vocab_size") * self.of("hidden_size")

    @property
    def weights(self):
        tables = 1 if self.of("tie_word_embeddings") else 2
        return tables * self.table_weights + self.of("num_hidden_layers") * self.layer_weights + self.of("hidden_size")

    @property
    def adapter_weights(self):
        C, F, H, G, D = (self.of("hidden_size"), self.of("intermediate_size"), self.of("num_attention_heads"),
                         self.of("num_key_value_heads"), self.head_dim)
        sides = 2 * (C + H * D) + 2 * (C + G * D) + 3 * (C + F)
        return self.of("num_hidden_layers") * LORA_R * sides if self.adapter else 0

    @property
    def flops_per_token(self):
        """Forward and backward: 6·(weights without the embedding table, with the head) + 6·L·C·T; no recomputation.  Weights
        that an adapter leaves alone have no gradient: 4."""
        L, width = self.of("num_hidden_layers"), self.of("num_attention_heads") * self.head_dim
        multiplied = L * self.layer_weights + self.table_weights + self.of("hidden_size")
        return (4 if self.adapter else 6) * multiplied + 6 * self.adapter_weights + 6 * L * width * self.sequence_len

    @property
    def tokens(self):
        """Of an update."""
        return self.sequences * self.sequence_len

    def c_mfu(self, tokens_per_second):
        return tokens_per_second * self.flops_per_token / H100_FLOPS

    def fitted(self, memory_bytes):
        """This shape with as many of its layers as fit, unsharded and in bf16, into a GPU of that memory."""
        C, F, L = self.of("hidden_size"), self.of("intermediate_size"), self.of("num_hidden_layers")
        H, G, D = self.of("num_attention_heads"), self.of("num_key_value_heads"), self.head_dim
        tokens = self.micro_batch * self.sequence_len
        # docs/sharding.md: master, moments, gradient and bf16 weights; what gradient_checkpointing = none keeps of a layer,
        # and the parts that all layers share; the head, with 512 MiB of logits.
        state = STATE_BYTES[self.adapter]
        a_layer = state * self.layer_weights + tokens * (2 * (2 * H * D + 2 * G * D + 4 * C + 2 * F) + 4 * (2 + H))
        shared = tokens * (2 * (3 * C + F + 2 * H * D + 2 * G * D) + 4 * D)
        head = tokens * (6 * C + 4) + (512 << 20)
        ends = max(state, 2) * (self.weights - L * self.layer_weights) + 18 * self.adapter_weights + shared + head
        layers = int((MEMORY_SHARE * memory_bytes - BESIDE_PLAN - ends) // a_layer)
        if layers >= L:
            return self
        if layers < 1:
            return None
        return replace(self, config={**self.config, "num_hidden_layers": layers},
                       note=f"{layers} of its {L} layers: what fits unsharded")

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=1))
        return folder


def _shape(name, micro_batch, accumulation, **config):
    return Shape(name, {**LLAMA, **config}, 4096, micro_batch, accumulation)


SMOLLM2_135M = _shape(
    "SmolLM2-135M", micro_batch=4, accumulation=4, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
    num_attention_heads=9, num_key_value_heads=3, vocab_size=49152, rope_theta=100000.0, max_position_embeddings=8192,
    tie_word_embeddings=True, initializer_range=0.041666666666666664, bos_token_id=0, eos_token_id=0)
LLAMA32_1B = _shape(
    "Llama-3.2-1B", micro_batch=2, accumulation=4, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16,
    num_attention_heads=32, num_key_value_heads=8, head_dim=64, vocab_size=128256, rope_theta=500000.0,
    rope_scaling={**LLAMA3_ROPE, "factor": 32.0}, max_position_embeddings=131072, tie_word_embeddings=True,
    initializer_range=0.02, bos_token_id=128000, eos_token_id=128001)
QWEN25_3B = _shape(
    "Qwen2.5-3B", micro_batch=1, accumulation=8, architectures=["Qwen2ForCausalLM"], model_type="qwen2",
    hidden_size=2048, intermediate_size=11008, num_hidden_layers=36, num_attention_heads=16, num_key_value_heads=2,
    vocab_size=151936, rope_theta=1000000.0, max_position_embeddings=32768, sliding_window=32768, max_window_layers=36,
    use_sliding_window=False, rms_norm_eps=1e-6, tie_word_embeddings=True, initializer_range=0.02, bos_token_id=151643,
    eos_token_id=151643)
LLAMA31_8B = _shape(
    "Llama-3.1-8B", micro_batch=1, accumulation=8, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
    num_attention_heads=32, num_key_value_heads=8, vocab_size=128256, rope_theta=500000.0,
    rope_scaling={**LLAMA3_ROPE, "factor": 8.0}, max_position_embeddings=131072, tie_word_embeddings=False,
    initializer_range=0.02, bos_token_id=128000, eos_token_id=128001)

LLAMA31_8B_LORA, LLAMA31_8B_QLORA = (replace(LLAMA31_8B, name=f"Llama-3.1-8B, {adapter}", adapter=adapter)
                                     for adapter in ("LoRA", "QLoRA"))

# In the order in which they are measured.
SHAPES = [LLAMA32_1B, QWEN25_3B, LLAMA31_8B, LLAMA31_8B_LORA, LLAMA31_8B_QLORA, SMOLLM2_135M]


def choose_shapes(context):
    if context.rehearse:
        return [shrunk(shape) for shape in SHAPES]
    fitted = (shape.fitted(context.machine.gpu.get("memory_bytes", 0)) for shape in SHAPES)
    return [shape for shape in fitted if shape]


TINY = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 64, "vocab_size": 512, "bos_token_id": 0, "eos_token_id": 0}


def shrunk(shape):
    """The same family in a size that a laptop trains in milliseconds, with heads wide enough for cuDNN: rehearses the
    script, measures nothing."""
    return replace(shape, name=f"tiny, in place of {shape.name}", config={**shape.config, **TINY}, sequence_len=128,
                   micro_batch=1, accumulation=2)
