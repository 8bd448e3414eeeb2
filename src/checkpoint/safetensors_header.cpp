#include "checkpoint/safetensors_header.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/tensor_shape.h"

namespace tessera {
namespace {

using nlohmann::json;

constexpr uint64_t max_header_bytes = 100'000'000;  // the limit of the format's own reader
constexpr int64_t length_bytes = 8;

template <typename... Args>
[[noreturn]] void damaged(const RawFile& file, fmt::format_string<Args...> format, Args&&... args) {
  throw DataError("{}: {}: the file is damaged or incomplete; download it again", file.path().string(),
                  fmt::format(format, std::forward<Args>(args)...));
}

/// Bytes of an element; 0 for an unknown dtype, whose length cannot be checked.
int64_t element_bytes(const std::string& dtype) {
  static const std::map<std::string, int64_t> bytes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},
      {"BF16", 2}, {"I32", 4}, {"U32", 4}, {"F32", 4},     {"I64", 8},     {"U64", 8}, {"F64", 8}};
  const auto found = bytes.find(dtype);
  return found == bytes.end() ? 0 : found->second;
}

std::string header_text(const RawFile& file) {
  const int64_t size = file.size();
  if (size < length_bytes) damaged(file, "has only {} bytes", size);
  uint64_t length = 0;
  file.read(0, &length, length_bytes);
  constexpr uint64_t git_lfs = 0x206e6f6973726576;  // "version ", the beginning of a pointer file
  if (length == git_lfs)
    throw DataError("{}: is a Git LFS pointer, not the weights; run `git lfs pull`", file.path().string());
  if (length > max_header_bytes || static_cast<int64_t>(length) > size - length_bytes)
    damaged(file, "its header claims {} bytes of {}", length, size);
  std::string text(length, '\0');
  file.read(length_bytes, text.data(), static_cast<int64_t>(length));
  return text;
}

/// Non-negative integers that fit; anything else is damage.
std::vector<int64_t> numbers(const RawFile& file, const std::string& name, const json& entry, const char* key) {
  if (!entry.contains(key) || !entry[key].is_array()) damaged(file, "tensor {}: has no {}", name, key);
  std::vector<int64_t> values;
  for (const json& value : entry[key]) {
    const auto size = whole_number(value);
    if (!size || *size < 0) damaged(file, "tensor {}: {} in its {} is not a size", name, shown(value), key);
    values.push_back(*size);
  }
  return values;
}

SafetensorsEntry checked_entry(const RawFile& file, const std::string& name, const json& entry, int64_t data_begin) {
  if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string())
    damaged(file, "tensor {}: has no dtype", name);
  SafetensorsEntry tensor{.dtype = entry["dtype"], .shape = numbers(file, name, entry, "shape")};
  const auto offsets = numbers(file, name, entry, "data_offsets");
  const int64_t data_bytes = file.size() - data_begin;
  if (offsets.size() != 2 || offsets[0] > offsets[1]) damaged(file, "tensor {}: its data_offsets are no range", name);
  if (offsets[1] > data_bytes)
    damaged(file, "tensor {}: ends at byte {} of {} that are there", name, offsets[1], data_bytes);
  const auto count = element_count(tensor.shape);
  int64_t bytes = 0;
  if (!count || __builtin_mul_overflow(*count, element_bytes(tensor.dtype), &bytes))
    damaged(file, "tensor {}: its shape {} is too large", name, shape_text(tensor.shape));
  if (element_bytes(tensor.dtype) != 0 && bytes != offsets[1] - offsets[0])
    damaged(file, "tensor {}: {} {} takes {} bytes, it has {}", name, tensor.dtype, shape_text(tensor.shape), bytes,
            offsets[1] - offsets[0]);
  tensor.begin = data_begin + offsets[0];
  tensor.end = data_begin + offsets[1];
  return tensor;
}

void require_no_overlap(const RawFile& file, const std::map<std::string, SafetensorsEntry>& tensors) {
  std::vector<std::pair<const SafetensorsEntry*, const std::string*>> by_place;
  for (const auto& [name, tensor] : tensors)
    if (tensor.begin < tensor.end) by_place.emplace_back(&tensor, &name);
  std::sort(by_place.begin(), by_place.end(), [](auto& a, auto& b) { return a.first->begin < b.first->begin; });
  for (size_t i = 1; i < by_place.size(); ++i)
    if (by_place[i].first->begin < by_place[i - 1].first->end)
      damaged(file, "tensors {} and {} overlap", *by_place[i - 1].second, *by_place[i].second);
}

}  // namespace

std::map<std::string, SafetensorsEntry> read_safetensors_header(const RawFile& file) {
  const std::string text = header_text(file);
  const json header = parse_json(text, file.path().string());
  if (!header.is_object()) damaged(file, "its header is not a JSON object");
  std::map<std::string, SafetensorsEntry> tensors;
  for (const auto& [name, entry] : header.items())
    if (name != "__metadata__")
      tensors[name] = checked_entry(file, name, entry, length_bytes + static_cast<int64_t>(text.size()));
  require_no_overlap(file, tensors);
  return tensors;
}

}  // namespace tessera
