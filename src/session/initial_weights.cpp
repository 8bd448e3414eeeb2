#include "session/initial_weights.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/splitmix.h"
#include "device/parallel.h"

namespace tessera {
namespace {

/// The i-th standard normal of a stream: Box-Muller of two counter-based uniforms, so that any rank can make any of
/// them.
float normal_at(uint64_t stream, int64_t i) {
  const auto uniform = [&](uint64_t k) {
    return (static_cast<double>(splitmix64(stream ^ splitmix64(k)) >> 11) + 0.5) * 0x1p-53;
  };
  const auto k = static_cast<uint64_t>(i) * 2;
  return static_cast<float>(std::sqrt(-2 * std::log(uniform(k))) * std::cos(2 * std::numbers::pi * uniform(k + 1)));
}

/// A uniform number in [-1, 1) of a stream.
float uniform_at(uint64_t stream, int64_t i) {
  const uint64_t bits = splitmix64(stream ^ splitmix64(static_cast<uint64_t>(i)));
  return static_cast<float>((static_cast<double>(bits >> 11) + 0.5) * 0x1p-52 - 1);
}

}  // namespace

InitialWeights::InitialWeights(const Job& job, const ModelSpec& spec, int threads)
    : units_(model_units(spec)),
      seed_(job.job.seed),
      deviation_(static_cast<float>(spec.initializer_range)),
      threads_(threads) {
  if (job.model.init == Init::pretrained) base_.emplace(job.model.base, spec);
  if (job.adapter.type != AdapterType::none && !job.adapter.base_adapter.empty())
    adapter_.emplace(job.adapter.base_adapter, spec);
}

void InitialWeights::read(const TensorSpec& tensor, int64_t offset, int64_t count, float* out) const {
  if (adapter_ && tensor.band() == Band::trained) return adapter_->read(tensor.name, offset, count, out);
  if (base_ && !tensor.is_adapter) return base_->read(tensor.name, offset, count, out);
  make(tensor, offset, count, out);
}

const Nf4Tensor* InitialWeights::nf4(const TensorSpec& tensor) const {
  return base_ && !tensor.is_adapter ? base_->nf4(tensor.name) : nullptr;
}

void InitialWeights::make(const TensorSpec& tensor, int64_t offset, int64_t count, float* out) const {
  using Kind = TensorSpec::Init;
  if (tensor.init == Kind::row_norms) return make_row_norms(tensor, offset, count, out);
  const uint64_t stream = splitmix64(static_cast<uint64_t>(seed_)) ^ xxh3(tensor.name.data(), tensor.name.size());
  const auto value = [&](int64_t i) {
    switch (tensor.init) {
      case Kind::normal:
        return deviation_ * normal_at(stream, i);
      case Kind::ones:
        return 1.0f;
      case Kind::zeros:
        return 0.0f;
      case Kind::lora_a:
        return uniform_at(stream, i) / std::sqrt(static_cast<float>(tensor.shape.back()));
      case Kind::lora_a_gaussian:
        return normal_at(stream, i) / static_cast<float>(tensor.shape.front());
      case Kind::quantized_row_norms:  // until load_row_norms()
        return 0.0f;
      case Kind::row_norms:
        break;
    }
    throw std::logic_error("a tensor begins in no known way");
  };
  parallel_for(threads_, count, 1 << 14, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) out[i] = value(offset + i);
  });
}

/// Of the weight beside the vector: B is zero at the start.
void InitialWeights::make_row_norms(const TensorSpec& tensor, int64_t offset, int64_t count, float* out) const {
  const std::string module = tensor.name.substr(0, tensor.name.rfind('.'));
  const TensorSpec* weight = nullptr;
  for (const UnitSpec& unit : units_)
    for (const TensorSpec& other : unit.tensors)
      if (other.name == module + ".weight") weight = &other;
  const int64_t columns = weight->shape.back();
  std::vector<float> row(static_cast<size_t>(columns));
  for (int64_t i = 0; i < count; ++i) {
    read(*weight, (offset + i) * columns, columns, row.data());
    double squares = 0;
    for (const float x : row) squares += static_cast<double>(x) * x;
    out[i] = static_cast<float>(std::sqrt(squares));
  }
}

}  // namespace tessera
