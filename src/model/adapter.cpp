#include "model/adapter.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/nearest.h"
#include "model/families/config_reader.h"
#include "model/module_names.h"

namespace tessera {
namespace {

constexpr const char* all_linear = "all-linear";

constexpr int64_t most_r = 65536;   // as the job's
constexpr double most_alpha = 1e9;  // likewise

/// [adapter] with nothing left out.
struct Adapter {
  Path file;  // adapter_config.json, where it comes from one
  int64_t r = 0;
  double alpha = 0, dropout = 0;
  bool rslora = false, dora = false;
  std::optional<ModuleNames> targets;  // nothing: every linear of the layers
  ModuleNames excluded, saved;
  std::set<int64_t> layers;  // empty: all

  [[noreturn]] void refuse(const char* key, const std::string& why) const {
    if (file.empty()) throw JobError("[adapter] {}: {}", key, why);
    throw DataError("{}: {}: {}", file.string(), key, why);
  }
};

// ---- adapter_config.json ----

ModuleNames names_of_list(const ConfigReader& config, const std::string& key) {
  std::vector<std::string> names;
  for (const auto& name : config.at(key)) {
    if (!name.is_string()) throw DataError("{}: {} has {}, expected names", config.where(), key, shown(name));
    names.push_back(name.get<std::string>());
  }
  return ModuleNames::list(std::move(names));
}

/// A list is one of names, a text an expression.
std::optional<ModuleNames> read_names(const ConfigReader& config, const std::string& key) {
  if (!config.has(key)) return {};
  const auto& value = config.at(key);
  if (value.is_array()) return names_of_list(config, key);
  if (value.is_string()) return ModuleNames::expression(value.get<std::string>(), config.where() + ": " + key);
  throw DataError("{}: {} is {}, expected a list of names or a text", config.where(), key, shown(value));
}

std::set<int64_t> read_layers(const ConfigReader& config) {
  std::set<int64_t> layers;
  if (!config.has("layers_to_transform")) return layers;
  const auto& value = config.at("layers_to_transform");
  for (const auto& one : value.is_array() ? value : nlohmann::json::array({value})) {
    const auto number = whole_number(one);
    if (!number || *number < 0)
      throw DataError("{}: layers_to_transform has {}, expected numbers of layers", config.where(), shown(one));
    layers.insert(*number);
  }
  return layers;
}

void require_supported(const ConfigReader& config) {
  if (const std::string type = config.text("peft_type", "LORA"); type != "LORA")
    throw DataError("{}: peft_type \"{}\" is not supported; expected LORA", config.where(), type);
  if (const std::string bias = config.text("bias", "none"); bias != "none")
    throw DataError("{}: bias \"{}\" is not supported; expected none", config.where(), bias);
  for (const char* key :
       {"rank_pattern", "alpha_pattern", "lora_bias", "fan_in_fan_out", "layer_replication", "trainable_token_indices",
        "target_parameters", "use_qalora", "use_bdlora", "alora_invocation_tokens"})
    config.require_neutral(key, "it is not supported");
}

Adapter read_adapter_config(const Path& directory) {
  const Path file = directory / "adapter_config.json";
  if (!is_there(file)) throw JobError("[adapter] base_adapter: {} is missing", file.string());
  const ConfigReader config(read_text(file), file.string());
  require_supported(config);
  Adapter adapter;
  adapter.file = file;
  adapter.r = config.integer("r", 8);
  if (adapter.r > most_r) adapter.refuse("r", fmt::format("is {}; the limit is {}", adapter.r, most_r));
  adapter.alpha = config.positive("lora_alpha", 8);
  if (adapter.alpha > most_alpha) adapter.refuse("lora_alpha", fmt::format("the limit is {}", most_alpha));
  adapter.dropout = config.number("lora_dropout", 0, 0, 0.99);
  adapter.rslora = config.boolean("use_rslora", false);
  adapter.dora = config.boolean("use_dora", false);
  if (config.text_or_nothing("target_modules") != all_linear) adapter.targets = read_names(config, "target_modules");
  adapter.excluded = read_names(config, "exclude_modules").value_or(ModuleNames());
  if (config.has("modules_to_save")) adapter.saved = names_of_list(config, "modules_to_save");
  adapter.layers = read_layers(config);
  return adapter;
}

// ---- the job, and both ----

std::string where(const char* key) { return fmt::format("[adapter] {}", key); }

Adapter from_job(const AdapterSettings& job) {
  Adapter adapter;
  adapter.r = job.lora_r.value_or(0);
  adapter.alpha = job.lora_alpha.value_or(0);
  adapter.dropout = job.lora_dropout.value_or(0);
  adapter.rslora = job.use_rslora.value_or(false);
  adapter.dora = job.use_dora.value_or(false);
  const std::string targets = job.target_modules.value_or(all_linear);
  if (targets != all_linear) adapter.targets = ModuleNames::parse(targets, where("target_modules"));
  if (job.exclude_modules) adapter.excluded = ModuleNames::parse(*job.exclude_modules, where("exclude_modules"));
  if (job.modules_to_save) adapter.saved = ModuleNames::list(*job.modules_to_save);
  if (job.layers_to_transform) adapter.layers.insert(job.layers_to_transform->begin(), job.layers_to_transform->end());
  return adapter;
}

/// The same key in the job and in base_adapter: one of them, or both alike.
template <typename T>
void merge(T& ours, const T& theirs, bool given, const char* key) {
  if (given && !(ours == theirs))
    throw JobError("[adapter] {}: differs from base_adapter's adapter_config.json; leave it out to take that", key);
  ours = theirs;
}

Adapter resolved(const AdapterSettings& job) {
  Adapter ours = from_job(job);
  if (job.base_adapter.empty()) {
    if (!job.lora_r) throw JobError("[adapter] lora_r: is missing; the rank of the adapter, such as 16");
    if (!job.lora_alpha)
      throw JobError("[adapter] lora_alpha: is missing; the adapter is scaled by lora_alpha / lora_r");
    return ours;
  }
  const Adapter theirs = read_adapter_config(job.base_adapter);
  ours.file = theirs.file;
  merge(ours.r, theirs.r, job.lora_r.has_value(), "lora_r");
  merge(ours.alpha, theirs.alpha, job.lora_alpha.has_value(), "lora_alpha");
  merge(ours.dropout, theirs.dropout, job.lora_dropout.has_value(), "lora_dropout");
  merge(ours.rslora, theirs.rslora, job.use_rslora.has_value(), "use_rslora");
  merge(ours.dora, theirs.dora, job.use_dora.has_value(), "use_dora");
  merge(ours.targets, theirs.targets, job.target_modules.has_value(), "target_modules");
  merge(ours.excluded, theirs.excluded, job.exclude_modules.has_value(), "exclude_modules");
  merge(ours.saved, theirs.saved, job.modules_to_save.has_value(), "modules_to_save");
  merge(ours.layers, theirs.layers, job.layers_to_transform.has_value(), "layers_to_transform");
  return ours;
}

// ---- the model ----

/// Calls visit(module, layer, output) for every module that is a linear of a layer.
void for_each_linear(ModelSpec& model,
                     const std::function<void(const std::string&, int64_t, LinearSpec::Output&)>& visit) {
  for (size_t i = 0; i < model.layers.size(); ++i) {
    LayerSpec& layer = model.layers[i];
    for (LinearSpec* linear : {&layer.attention.qkv, &layer.attention.o, &layer.mlp.gate_up, &layer.mlp.down})
      for (LinearSpec::Output& output : linear->outputs)
        visit(layer.prefix + output.module, static_cast<int64_t>(i), output);
  }
}

/// Calls visit(module, storage) for every module that has weights.
void for_each_module(ModelSpec& model, const std::function<void(const std::string&, Storage&)>& visit) {
  visit(model.embedding, model.embedding_storage);
  visit(model.head, model.tied ? model.embedding_storage : model.head_storage);
  for_each_linear(
      model, [&](const std::string& module, int64_t, LinearSpec::Output& output) { visit(module, output.storage); });
  for (LayerSpec& layer : model.layers)
    for (NormSpec* norm : {&layer.before_attention, &layer.after_attention, &layer.before_mlp, &layer.after_mlp,
                           &layer.attention.q_norm, &layer.attention.k_norm})
      if (*norm) visit(layer.prefix + norm->module, norm->storage);
  visit(model.final_norm.module, model.final_norm.storage);
}

/// Refuses names of which no module is.
void require_matches(const Adapter& adapter, const ModuleNames& names, const std::vector<std::string>& modules,
                     const char* key) {
  for (const std::string& name : names.unmatched(modules)) {
    std::set<std::string> last_parts;
    for (const std::string& module : modules) last_parts.insert(module.substr(module.rfind('.') + 1));
    const std::vector<std::string> known(last_parts.begin(), last_parts.end());
    adapter.refuse(key, fmt::format("no module is called {}; did you mean {}? There are {}", name, nearest(name, known),
                                    fmt::join(known, ", ")));
  }
}

int64_t add_lora(ModelSpec& model, const Adapter& adapter, const LoraSpec& lora) {
  int64_t count = 0;
  for_each_linear(model, [&](const std::string& module, int64_t layer, LinearSpec::Output& output) {
    if (adapter.targets && !adapter.targets->match(module)) return;
    if (adapter.excluded.match(module) || (!adapter.layers.empty() && !adapter.layers.contains(layer))) return;
    output.lora = lora;
    ++count;
  });
  return count;
}

}  // namespace

void add_adapter(ModelSpec& model, const AdapterSettings& settings,
                 const std::function<Storage(const std::string& module)>& storage_of) {
  if (settings.type == AdapterType::none) return;
  const Adapter adapter = resolved(settings);
  std::vector<std::string> linears, modules;
  for_each_linear(model, [&](const std::string& module, int64_t, LinearSpec::Output&) { linears.push_back(module); });
  for_each_module(model, [&](const std::string& module, Storage&) { modules.push_back(module); });
  if (adapter.targets) require_matches(adapter, *adapter.targets, linears, "target_modules");
  require_matches(adapter, adapter.excluded, linears, "exclude_modules");
  require_matches(adapter, adapter.saved, modules, "modules_to_save");
  for (const int64_t layer : adapter.layers)
    if (layer >= model.L())
      adapter.refuse("layers_to_transform",
                     fmt::format("{} is beyond the model's {} layers, which count from 0", layer, model.L()));

  for_each_module(model, [&](const std::string& module, Storage& storage) {
    if (storage == Storage::trained && !adapter.saved.match(module)) storage = Storage::frozen;
  });
  for_each_module(model, [&](const std::string& module, Storage& storage) {
    if (adapter.saved.match(module)) storage = Storage::trained;  // by either name of a tied model
  });
  for_each_linear(model, [&](const std::string& module, int64_t, LinearSpec::Output& output) {
    if (storage_of && output.storage == Storage::frozen) output.storage = storage_of(module);
  });
  const auto r = static_cast<double>(adapter.r);
  const double scale = adapter.alpha / (adapter.rslora ? std::sqrt(r) : r);
  const LoraSpec lora{.r = adapter.r,
                      .scale = static_cast<float>(scale),
                      .b_rate = settings.loraplus_lr_ratio,
                      .dora = adapter.dora,
                      .dropout = static_cast<float>(adapter.dropout),
                      .gaussian = settings.init_lora_weights == LoraInit::gaussian};
  if (add_lora(model, adapter, lora) == 0)
    adapter.refuse(
        "target_modules",
        fmt::format(
            "\"{}\" matches no linear module; there are {} …", adapter.targets ? adapter.targets->text() : all_linear,
            fmt::join(linears.begin(), linears.begin() + std::min<std::ptrdiff_t>(8, std::ssize(linears)), ", ")));
}

std::string adapter_config(const AdapterSettings& settings, const Path& base) {
  const Adapter adapter = resolved(settings);
  // A list as one, an expression as text; nothing is null.
  const auto json_of = [](const ModuleNames& names) {
    if (names.empty()) return nlohmann::ordered_json();
    return names.is_list() ? nlohmann::ordered_json(names.names()) : nlohmann::ordered_json(names.text());
  };
  nlohmann::ordered_json config = {{"peft_type", "LORA"},
                                   {"task_type", "CAUSAL_LM"},
                                   {"base_model_name_or_path", base.string()},
                                   {"r", adapter.r},
                                   {"lora_alpha", adapter.alpha},
                                   {"lora_dropout", adapter.dropout},
                                   {"use_rslora", adapter.rslora},
                                   {"use_dora", adapter.dora},
                                   {"bias", "none"},
                                   {"fan_in_fan_out", false},
                                   {"init_lora_weights", true},
                                   {"inference_mode", true}};
  config["target_modules"] = adapter.targets ? json_of(*adapter.targets) : nlohmann::ordered_json(all_linear);
  config["exclude_modules"] = json_of(adapter.excluded);
  config["modules_to_save"] = json_of(adapter.saved);
  config["layers_to_transform"] = nullptr;
  if (!adapter.layers.empty()) config["layers_to_transform"] = adapter.layers;
  return config.dump(2) + "\n";
}

}  // namespace tessera
