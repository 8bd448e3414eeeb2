// model.safetensors with matrices that bitsandbytes has quantised, for a small model: read dequantised, and as it is.
#include <vector>

#include "model/families/family.h"
#include "session/weight_files.h"
#include "support/fuzz.h"
#include "support/mutators.h"

using namespace tessera;

namespace {

constexpr const char* config = R"({"model_type": "llama", "hidden_size": 4, "intermediate_size": 6, "vocab_size": 7,
  "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_act": "silu", "rms_norm_eps": 1e-5,
  "max_position_embeddings": 16, "tie_word_embeddings": true, "rope_theta": 10000.0,
  "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4"}})";

void read_parts(const Nf4Tensor& matrix) {
  constexpr int64_t bytes_of_blocks = 12;  // the matrix that the seeds have in NF4 has 24 elements, and one block
  std::vector<char> bytes(bytes_of_blocks);
  matrix.read_part(Nf4Tensor::Part::codes, 0, bytes_of_blocks, bytes.data());
  matrix.read_part(Nf4Tensor::Part::absmax, 0, sizeof(float), bytes.data());
  if (!matrix.is_double()) return;
  matrix.read_part(Nf4Tensor::Part::absmax_codes, 0, 1, bytes.data());
  matrix.read_part(Nf4Tensor::Part::mean, 0, sizeof(float), bytes.data());
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return fuzz::mutate(data, size, max_size, seed,
                      [&](std::string_view file) { return fuzz::changed_safetensors(file, seed); });
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto folder = fuzz::put("model.safetensors", fuzz::text_of(data, size)).parent_path();
  fuzz::reads(folder.native(), [&] {
    const ModelSpec model = parse_model(config, "config.json");
    const PretrainedWeights weights(folder, model);
    for (const UnitSpec& unit : model_units(model))
      for (const TensorSpec& tensor : unit.tensors) {
        std::vector<float> values(static_cast<size_t>(tensor.size()));
        fuzz::reads(folder.native(), [&] { weights.read(tensor.name, 0, tensor.size(), values.data()); });
        if (const Nf4Tensor* const matrix = weights.nf4(tensor.name); matrix != nullptr && tensor.size() == 24)
          fuzz::reads(folder.native(), [&] { read_parts(*matrix); });
      }
  });
  return 0;
}
