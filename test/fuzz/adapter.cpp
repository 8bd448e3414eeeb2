// A PEFT directory: adapter_config.json, then a zero byte and adapter_model.safetensors; for a small model with fused
// and single linear modules.
#include "model/adapter.h"

#include <algorithm>
#include <vector>

#include "model/families/family.h"
#include "session/weight_files.h"
#include "support/fuzz.h"
#include "support/mutators.h"

using namespace tessera;

namespace {

constexpr const char* base = R"({"model_type": "llama", "hidden_size": 4, "intermediate_size": 6, "vocab_size": 7,
  "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_act": "silu", "rms_norm_eps": 1e-5,
  "max_position_embeddings": 16, "tie_word_embeddings": true, "rope_theta": 10000.0})";

void read_tensors(const std::filesystem::path& folder, const ModelSpec& model) {
  const AdapterWeights weights(folder, model);
  for (const UnitSpec& unit : model_units(model))
    for (const TensorSpec& tensor : unit.tensors) {
      if (tensor.band() != Band::trained) continue;
      std::vector<float> values(static_cast<size_t>(tensor.size()));
      fuzz::reads(folder.native(), [&] { weights.read(tensor.name, 0, tensor.size(), values.data()); });
    }
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return fuzz::mutate(data, size, max_size, seed, [&](std::string_view input) {
    const std::string config = fuzz::changed_json(fuzz::take_part(input), seed);
    return config + std::string(1, '\0') + std::string(input);
  });
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input = fuzz::text_of(data, size);
  const auto config = fuzz::put("adapter_config.json", fuzz::take_part(input));
  const auto folder = fuzz::put("adapter_model.safetensors", input).parent_path();
  fuzz::reads(config.native(), [&] {
    ModelSpec model = parse_model(base, "config.json");
    AdapterSettings settings;
    settings.type = AdapterType::lora;
    settings.base_adapter = folder;
    add_adapter(model, settings);
    constexpr int64_t small = 1 << 16;  // elements
    if (parameter_count(model) < small) fuzz::reads(folder.native(), [&] { read_tensors(folder, model); });
  });
  return 0;
}
