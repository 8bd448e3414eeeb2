#include "support/mutators.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

namespace tessera::fuzz {
namespace {

using nlohmann::json;

std::string changed_bytes(std::string_view text) {
  std::string bytes(text);
  const size_t size = bytes.size();
  bytes.resize(size + 64);
  bytes.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(bytes.data()), size, bytes.size()));
  return bytes;
}

int depth_of(std::string_view text) {
  int depth = 0, deepest = 0;
  for (const char c : text) {
    depth += (c == '[' || c == '{') - (c == ']' || c == '}');
    deepest = std::max(deepest, depth);
  }
  return deepest;
}

class Change {
 public:
  explicit Change(unsigned seed) : random_(seed) {}

  std::string of(json document) {
    list(document);
    json& value = *values_[draw(values_.size())];
    const json other = *values_[draw(values_.size())];
    switch (draw(6)) {
      case 0:
        value = other;
        break;
      case 1:
        value = odd_value();
        break;
      case 2:
        remove_from(value);
        break;
      case 3:
        add_to(value, other);
        break;
      default:
        value = nearby(value);
    }
    return document.dump(-1, ' ', false, json::error_handler_t::replace);
  }

 private:
  size_t draw(size_t below) { return random_() % below; }

  void list(json& value) {
    values_.push_back(&value);
    if (value.is_structured())
      for (json& item : value) list(item);
  }

  json odd_value() {
    const json odd[] = {nullptr,
                        true,
                        false,
                        0,
                        -1,
                        1,
                        2,
                        0.5,
                        -0.0,
                        1e308,
                        1e-320,
                        "",
                        "a",
                        json::array(),
                        json::object(),
                        std::numeric_limits<int32_t>::max(),
                        std::numeric_limits<int64_t>::max(),
                        std::numeric_limits<int64_t>::min(),
                        std::numeric_limits<uint64_t>::max(),
                        int64_t{1} << 32};
    return odd[draw(std::size(odd))];
  }

  json nearby(const json& value) {
    if (value.is_string()) return changed_bytes(value.get<std::string>());
    if (value.is_boolean()) return !value.get<bool>();
    if (!value.is_number()) return odd_value();
    if (value.is_number_float()) return value.get<double>() * (draw(2) == 0 ? 2 : -0.5);
    const auto number = value.get<uint64_t>();
    const uint64_t near[] = {number + 1, number - 1, number * 2, number / 2, number + 1000, -number};
    return near[draw(std::size(near))];
  }

  void remove_from(json& value) {
    if (!value.is_structured() || value.empty()) return;
    value.erase(std::next(value.begin(), static_cast<std::ptrdiff_t>(draw(value.size()))));
  }

  void add_to(json& value, const json& other) {
    if (value.is_array()) {
      value.insert(std::next(value.begin(), static_cast<std::ptrdiff_t>(draw(value.size() + 1))), other);
    } else if (value.is_object()) {
      const auto at = static_cast<std::ptrdiff_t>(draw(value.size() + 1));
      const std::string key = at == static_cast<std::ptrdiff_t>(value.size()) ? "" : std::next(value.begin(), at).key();
      value[changed_bytes(key)] = other;
    }
  }

  std::mt19937 random_;
  std::vector<json*> values_;
};

}  // namespace

std::string changed_json(std::string_view text, unsigned seed) {
  constexpr int deepest = 100;  // writing a document recurses
  if (depth_of(text) <= deepest)
    if (json document = json::parse(text, nullptr, false); !document.is_discarded())
      return Change(seed).of(std::move(document));
  return changed_bytes(text);
}

std::string changed_safetensors(std::string_view file, unsigned seed) {
  uint64_t length = 0;
  if (file.size() < sizeof length) return {};
  std::memcpy(&length, file.data(), sizeof length);
  if (length > file.size() - sizeof length) return {};
  const std::string header = changed_json(file.substr(sizeof length, length), seed);
  const std::string_view tensors = file.substr(sizeof length + length);
  length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + std::string(tensors);
}

size_t mutate(uint8_t* data, size_t size, size_t max_size, unsigned seed,
              const std::function<std::string(std::string_view)>& change) {
  if (seed % 4 != 0) {
    const std::string changed = change({reinterpret_cast<const char*>(data), size});
    if (!changed.empty() && changed.size() <= max_size) {
      std::memcpy(data, changed.data(), changed.size());
      return changed.size();
    }
  }
  return LLVMFuzzerMutate(data, size, max_size);
}

}  // namespace tessera::fuzz
