#include "session/nf4_tensor.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "base/number.h"
#include "checkpoint/finite.h"
#include "checkpoint/tensor_shape.h"
#include "device/dtype.h"
#include "kernels/dynamic_map.h"
#include "kernels/quantization.h"

namespace tessera {
namespace {

constexpr const char* absmax_suffix = ".absmax";
constexpr const char* map_suffix = ".quant_map";
constexpr const char* nested_absmax_suffix = ".nested_absmax";
constexpr const char* nested_map_suffix = ".nested_quant_map";

/// A key of the JSON that has to have one value.
void require_value(const nlohmann::json& state, const std::string& where, const char* key,
                   const nlohmann::json& expected) {
  if (!state.contains(key) || state[key] != expected)
    throw DataError("{}: {} is {}; only {} can be read", where, key,
                    state.contains(key) ? shown(state[key]) : "missing", shown(expected));
}

}  // namespace

Nf4Tensor::Nf4Tensor(const SafetensorsReader& files, std::string where, std::string name)
    : files_(files), where_(std::move(where)), name_(std::move(name)) {
  read_state();
  require_size("", {}, size_ / 2 + size_ % 2);  // of any type: bnb_4bit_quant_storage
  const int64_t blocks = ceil_div(size_, nf4_block);
  require_size(absmax_suffix, is_double_ ? "U8" : "F32", is_double_ ? blocks : blocks * size_of(DType::f32));
  require_map(map_suffix, nf4_map().data(), std::ssize(nf4_map()));
  if (!is_double_) return;
  require_size(nested_absmax_suffix, "F32", ceil_div(blocks, absmax_block) * size_of(DType::f32));
  require_map(nested_map_suffix, dynamic_map(true).data(), std::ssize(dynamic_map(true)));
}

void Nf4Tensor::read_state() {
  const std::string tensor = name_ + std::string(state_suffix), where = where_ + ": tensor " + tensor;
  constexpr int64_t most = 64 << 10;
  const int64_t bytes = files_.byte_count(tensor);
  if (bytes > most) throw DataError("{}: has {} bytes; it describes one tensor in some hundred", where, bytes);
  std::string text(static_cast<size_t>(bytes), '\0');
  files_.read_bytes(tensor, 0, bytes, text.data());
  const nlohmann::json state = parse_json(text, where);
  if (!state.is_object() || !state.contains("shape") || !state["shape"].is_array())
    throw DataError("{}: has no shape", where);
  for (const auto& value : state["shape"]) {
    const auto extent = whole_number(value);
    if (!extent || *extent < 1) throw DataError("{}: its shape has {}", where, shown(value));
    shape_.push_back(*extent);
  }
  const auto size = element_count(shape_);
  if (!size || *size == 0) throw DataError("{}: no tensor has the shape {}", where, shape_text(shape_));
  size_ = *size;
  require_value(state, where, "quant_type", "nf4");
  require_value(state, where, "blocksize", nf4_block);
  is_double_ = state.contains("nested_blocksize");
  if (!is_double_) return;
  require_value(state, where, "nested_blocksize", absmax_block);
  const auto mean = state.find("nested_offset");
  mean_ = mean != state.end() && mean->is_number() ? mean->get<float>() : NAN;
  if (!std::isfinite(mean_)) throw DataError("{}: nested_offset is no number that a float holds", where);
}

void Nf4Tensor::require_size(const std::string& suffix, std::string_view dtype, int64_t bytes) const {
  const std::string name = name_ + suffix;
  const int64_t found = files_.byte_count(name);
  if (found != bytes || (!dtype.empty() && files_.dtype(name) != dtype))
    throw DataError("{}: tensor {}: has {} bytes of {}, expected {} for {}{}", where_, name, found, files_.dtype(name),
                    bytes, shape_text(shape_), dtype.empty() ? "" : fmt::format(" in {}", dtype));
}

void Nf4Tensor::require_map(const std::string& suffix, const float* expected, int64_t count) const {
  require_size(suffix, "F32", count * size_of(DType::f32));
  std::vector<float> map(static_cast<size_t>(count));
  files_.read(name_ + suffix, 0, count, map.data());
  // Versions of bitsandbytes differ in the last bits.
  const auto alike = [](float a, float b) { return std::abs(a - b) <= 1e-6f * std::abs(b); };
  if (!std::equal(map.begin(), map.end(), expected, alike))
    throw DataError("{}: tensor {}: is not bitsandbytes' map; only nf4 with its own maps can be read", where_,
                    name_ + suffix);
}

std::set<std::string> Nf4Tensor::names() const {
  std::set<std::string> names = {name_, name_ + std::string(state_suffix), name_ + absmax_suffix, name_ + map_suffix};
  if (is_double_) names.insert({name_ + nested_absmax_suffix, name_ + nested_map_suffix});
  return names;
}

std::vector<float> Nf4Tensor::read_absmax(int64_t first, int64_t count) const {
  std::vector<float> absmax(static_cast<size_t>(count));
  if (!is_double_) {
    files_.read(name_ + absmax_suffix, first, count, absmax.data());
    return absmax;
  }
  const int64_t first_scale = first / absmax_block, scales_end = ceil_div(first + count, absmax_block);
  std::vector<uint8_t> codes(absmax.size());
  std::vector<float> scales(static_cast<size_t>(scales_end - first_scale));
  files_.read_bytes(name_ + absmax_suffix, first, count, codes.data());
  files_.read(name_ + nested_absmax_suffix, first_scale, std::ssize(scales), scales.data());
  for (int64_t i = 0; i < count; ++i)
    absmax[static_cast<size_t>(i)] = dynamic_map(true)[codes[static_cast<size_t>(i)]] *
                                         scales[static_cast<size_t>((first + i) / absmax_block - first_scale)] +
                                     mean_;
  require_finite(absmax.data(), count, where_, "tensor " + name_ + nested_absmax_suffix);
  return absmax;
}

void Nf4Tensor::read(int64_t offset, int64_t count, float* out) const {
  if (count == 0) return;
  const int64_t first_byte = offset / 2, first_block = offset / nf4_block;
  std::vector<uint8_t> codes(static_cast<size_t>(ceil_div(offset + count, 2) - first_byte));
  files_.read_bytes(name_, first_byte, std::ssize(codes), codes.data());
  const std::vector<float> absmax = read_absmax(first_block, ceil_div(offset + count, nf4_block) - first_block);
  for (int64_t i = offset; i < offset + count; ++i) {
    const uint8_t pair = codes[static_cast<size_t>(i / 2 - first_byte)];
    out[i - offset] =
        nf4_map()[i % 2 == 0 ? pair >> 4 : pair & 15] * absmax[static_cast<size_t>(i / nf4_block - first_block)];
  }
}

void Nf4Tensor::read_part(Part part, int64_t offset, int64_t count, void* out) const {
  switch (part) {
    case Part::codes:
      return files_.read_bytes(name_, offset, count, out);
    case Part::absmax:
      return files_.read_bytes(name_ + (is_double_ ? nested_absmax_suffix : absmax_suffix), offset, count, out);
    case Part::absmax_codes:
      return files_.read_bytes(name_ + absmax_suffix, offset, count, out);
    case Part::mean:
      std::copy_n(reinterpret_cast<const char*>(&mean_) + offset, count, static_cast<char*>(out));
  }
}

}  // namespace tessera
