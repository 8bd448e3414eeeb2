#include "model/families/family.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "model/families/decoder.h"

namespace tessera {
namespace {

struct Family {
  std::string_view model_type;
  ModelSpec (*read)(const ConfigReader& config);
  std::string_view architecture = "ForCausalLM";  ///< what architectures' names end with
};

constexpr std::array families = {
    Family{"llama", read_llama},        Family{"mistral", read_mistral},
    Family{"qwen2", read_qwen2},        Family{"qwen3", read_qwen3},
    Family{"gemma", read_gemma},        Family{"gemma2", read_gemma2},
    Family{"gemma3_text", read_gemma3}, Family{"gemma3", read_gemma3_text_part, "ForConditionalGeneration"},
    Family{"phi3", read_phi3},          Family{"olmo2", read_olmo2},
    Family{"olmo3", read_olmo3},        Family{"smollm3", read_smollm3},
    Family{"granite", read_granite}};

const Family& find_family(const ConfigReader& config) {
  const std::string type = config.text("model_type", "");
  std::string known;
  for (const Family& family : families) {
    if (family.model_type == type) return family;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", family.model_type);
  }
  throw DataError("{}: model_type \"{}\" is not supported; expected one of {}", config.where(), type, known);
}

void require_causal_model(const ConfigReader& config, std::string_view architecture) {
  config.require_neutral("is_encoder_decoder", "only decoders are");
  config.require_neutral("add_cross_attention", "only decoders are");
  config.require_neutral("pruned_heads", "heads are whole");
  config.require_neutral("attention_dropout", "training has no dropout");
  config.ignore({"is_decoder", "cross_attention_hidden_size", "tie_encoder_decoder"});
  if (!config.has("architectures")) return;
  for (const auto& name : config.at("architectures"))
    if (!name.is_string() || !name.get<std::string>().ends_with(architecture))
      throw DataError("{}: architectures has {}, expected a ...{}", config.where(), shown(name), architecture);
}

/// Weights that are stored quantised: whether they are, and in a way that can be read.
bool has_quantized_files(const ConfigReader& config) {
  if (!config.has("quantization_config")) return false;
  const ConfigReader quantization = config.object("quantization_config");
  const std::string method = quantization.text_or_nothing("quant_method");
  if (method != "bitsandbytes")
    throw DataError(
        "{}: quant_method \"{}\" is not supported; train from the model in bf16 or fp32, with [model] "
        "quantization = nf4 where it has to be small",
        quantization.where(), method);
  const std::string type = quantization.text("bnb_4bit_quant_type", "fp4");
  if (!quantization.boolean("load_in_4bit", false) || type != "nf4")
    throw DataError(
        "{}: of bitsandbytes' formats only 4 bits with bnb_4bit_quant_type = nf4 can be read, not {}; train from the "
        "model in bf16 or fp32, with [model] quantization = nf4 or int8",
        quantization.where(), quantization.boolean("load_in_8bit", false) ? "load_in_8bit" : type);
  return true;
}

/// What config.json says of the model that is made of quantised files.
std::string without_quantization(const std::string& text, const std::string& where) {
  nlohmann::ordered_json config = parse_ordered_json(text, where);
  config.erase("quantization_config");
  return config.dump(2) + "\n";
}

}  // namespace

ModelSpec parse_model(const std::string& text, const std::string& where) {
  const ConfigReader config(text, where);
  const Family& family = find_family(config);
  require_causal_model(config, family.architecture);
  const bool quantized = has_quantized_files(config);
  ModelSpec model = family.read(config);
  config.refuse_unread(" and might change what the model computes; remove the key if it does not");
  model.family = family.model_type;
  if (model.config.empty()) model.config = text;
  model.quantized_files = quantized;
  if (quantized) model.config = without_quantization(model.config, where);
  return model;
}

ModelSpec load_model(const std::filesystem::path& directory) {
  if (!is_folder(directory))
    throw JobError("[model] base: there is no directory {}; expected one with config.json and *.safetensors",
                   directory.string());
  const auto path = directory / "config.json";
  return parse_model(read_text(path, max_json_bytes), path.string());
}

}  // namespace tessera
