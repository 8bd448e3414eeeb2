#include "text/tokenizer_settings.h"

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"

namespace tessera {
namespace {

using nlohmann::json;

json read_object(const std::filesystem::path& path) {
  if (!is_there(path)) return json::object();
  json object = read_json(path);
  if (!object.is_object()) throw DataError("{}: it is not a JSON object", path.string());
  return object;
}

/// A token as these files write it: its text, or an object with its "content", or null.
std::optional<std::string> read_token(const json& object, const char* key, const std::filesystem::path& path) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::nullopt;
  const json& text = found->is_object() && found->contains("content") ? (*found)["content"] : *found;
  if (!text.is_string()) throw DataError("{}: its {} is not a token: {}", path.string(), key, shown(*found));
  return text.get<std::string>();
}

/// A thousand lines more than the longest that models have.
constexpr int64_t longest_template = 1 << 20;

std::string read_chat_template(const json& config, const std::filesystem::path& directory) {
  const auto file = directory / "chat_template.jinja";
  if (is_there(file)) return read_text(file, longest_template);
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return {};
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array()) {
    for (const json& entry : *found) {
      if (entry.is_object() && entry.value("name", json()) == "default" &&
          entry.value("template", json()).is_string()) {
        return entry["template"].get<std::string>();
      }
    }
  }
  throw DataError("{}: its chat_template is neither a string nor a list with an entry named default",
                  (directory / "tokenizer_config.json").string());
}

}  // namespace

TokenizerSettings TokenizerSettings::read(const std::filesystem::path& directory) {
  const auto config_path = directory / "tokenizer_config.json", map_path = directory / "special_tokens_map.json";
  const json config = read_object(config_path), map = read_object(map_path);
  const auto token = [&](const char* key) {
    const auto set = read_token(config, key, config_path);
    return set ? set : read_token(map, key, map_path);
  };
  return {token("bos_token"), token("eos_token"), read_chat_template(config, directory)};
}

}  // namespace tessera
