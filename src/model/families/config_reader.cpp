#include "model/families/config_reader.h"

#include <utility>

#include "base/error.h"

namespace tessera {
namespace {

using Json = nlohmann::json;

/// Keys that cannot change what a causal language model computes in training: identity, generation settings, other
/// heads' settings, storage.
const std::set<std::string> harmless_keys = {
    // origin and storage
    "_name_or_path", "_attn_implementation", "_attn_implementation_autoset", "_commit_hash", "transformers_version",
    "transformers.js_config", "dtype", "torch_dtype", "use_cache", "auto_map", "model_name", "unsloth_version",
    "unsloth_fixed", "pretraining_tp", "initializer_range", "max_position_embeddings", "is_llama_config",
    "rope_interleaved", "max_length", "use_return_dict", "return_dict", "return_dict_in_generate", "torchscript",
    "use_bfloat16", "tf_legacy_loss", "tokenizer_class", "prefix", "task_specific_params", "finetuning_task",
    "id2label", "label2id", "num_labels", "problem_type", "architectures", "_from_model_config",
    // special tokens are the tokenizer's business
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id", "unk_token_id",
    "forced_bos_token_id", "forced_eos_token_id", "image_token_id",
    // generation
    "do_sample", "temperature", "top_k", "top_p", "typical_p", "num_beams", "num_beam_groups", "diversity_penalty",
    "min_length", "repetition_penalty", "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size",
    "early_stopping", "num_return_sequences", "output_scores", "bad_words_ids", "suppress_tokens",
    "begin_suppress_tokens", "exponential_decay_length_penalty", "remove_invalid_values", "chunk_size_feed_forward",
    "output_attentions", "output_hidden_states"};

bool neutral(const Json& value) {
  return value.is_null() || (value.is_boolean() && !value.get<bool>()) ||
         (value.is_number() && value.get<double>() == 0) || ((value.is_object() || value.is_array()) && value.empty());
}

}  // namespace

ConfigReader::ConfigReader(const std::string& text, std::string where)
    : ConfigReader(parse_json(text, where), where, nullptr) {}

ConfigReader::ConfigReader(Json object, std::string where, std::nullptr_t)
    : object_(std::move(object)), where_(std::move(where)) {
  if (!object_.is_object()) throw DataError("{}: not a JSON object", where_);
}

bool ConfigReader::has(const std::string& key) const {
  read_.insert(key);
  return object_.contains(key) && !object_[key].is_null();
}
bool ConfigReader::is_null(const std::string& key) const {
  read_.insert(key);
  return object_.contains(key) && object_[key].is_null();
}

int64_t ConfigReader::integer(const std::string& key) const {
  if (!has(key)) throw DataError("{}: {} is missing", where_, key);
  const auto value = whole_number(object_[key]);
  if (!value || *value < 1)
    throw DataError("{}: {} is {}, expected a positive integer", where_, key, shown(object_[key]));
  return *value;
}
int64_t ConfigReader::integer(const std::string& key, int64_t otherwise) const {
  return has(key) ? integer(key) : otherwise;
}
int64_t ConfigReader::whole(const std::string& key, int64_t otherwise) const {
  if (!has(key)) return otherwise;
  const auto value = whole_number(object_[key]);
  if (!value || *value < 0)
    throw DataError("{}: {} is {}, expected a whole number, at least 0", where_, key, shown(object_[key]));
  return *value;
}

double ConfigReader::number(const std::string& key, double otherwise) const {
  if (!has(key)) return otherwise;
  if (!object_[key].is_number()) throw DataError("{}: {} is {}, expected a number", where_, key, shown(object_[key]));
  return object_[key].get<double>();
}
double ConfigReader::number(const std::string& key, double otherwise, double low, double high) const {
  const double value = number(key, otherwise);
  if (!(value >= low && value <= high))
    throw DataError("{}: {} is {}, expected a number from {} to {}", where_, key,
                    has(key) ? shown(object_[key]) : shown(Json(value)), low, high);
  return value;
}
double ConfigReader::positive(const std::string& key, double otherwise) const {
  const double value = number(key, otherwise);
  if (!(value > 0))
    throw DataError("{}: {} is {}, expected a number above 0", where_, key,
                    has(key) ? shown(object_[key]) : shown(Json(value)));
  return value;
}
bool ConfigReader::boolean(const std::string& key, bool otherwise) const {
  if (!has(key)) return otherwise;
  if (!object_[key].is_boolean())
    throw DataError("{}: {} is {}, expected true or false", where_, key, shown(object_[key]));
  return object_[key].get<bool>();
}
std::string ConfigReader::text(const std::string& key, const std::string& otherwise) const {
  if (!has(key)) return otherwise;
  if (!object_[key].is_string()) throw DataError("{}: {} is {}, expected a string", where_, key, shown(object_[key]));
  return object_[key].get<std::string>();
}

std::string ConfigReader::text_or_nothing(const std::string& key) const {
  return has(key) && object_[key].is_string() ? object_[key].get<std::string>() : std::string();
}

const Json& ConfigReader::at(const std::string& key) const {
  read_.insert(key);
  if (!object_.contains(key)) throw DataError("{}: {} is missing", where_, key);
  return object_.at(key);
}
ConfigReader ConfigReader::object(const std::string& key) const {
  if (!at(key).is_object()) throw DataError("{}: {} is not an object", where_, key);
  return {at(key), where_ + ": " + key, nullptr};
}

void ConfigReader::require_neutral(const std::string& key, const char* why) const {
  if (has(key) && !neutral(object_[key]))
    throw DataError("{}: {} = {} is not supported: {}", where_, key, shown(object_[key]), why);
}

void ConfigReader::ignore(std::initializer_list<const char*> keys) const { read_.insert(keys.begin(), keys.end()); }

void ConfigReader::refuse_unread(const char* why) const {
  for (const auto& [key, value] : object_.items())
    if (!read_.contains(key) && !harmless_keys.contains(key) && !neutral(value))
      throw DataError("{}: {} = {} is not known{}", where_, key, shown(value), why);
}

}  // namespace tessera
