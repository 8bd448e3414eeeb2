#include "generate/inference_model.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace tessera {
namespace {

ModelConfig with_one_layer(ModelConfig config) {
  config.L = 1;
  return config;
}

}  // namespace

InferenceModel::InferenceModel(Device& device, Kernels& kernels, const ModelConfig& config, DType dtype,
                               int64_t capacity)
    : device_(device),
      kernels_(kernels),
      config_(config),
      one_layer_(with_one_layer(config)),
      dtype_(dtype),
      capacity_(capacity),
      specs_(model_units(config)),
      stream_(device.make_stream("generate")),
      layer_(kernels, config_),
      store_(device, one_layer_, dtype, Checkpointing::full, capacity),
      head_(device, kernels, config_, dtype, 1),
      rope_(rope_frequencies(config)),
      cos_(device, DType::f32, capacity, config.D / 2, "rotary tables"),
      sin_(device, DType::f32, capacity, config.D / 2, "rotary tables"),
      logits_(device, DType::f32, 1, config.V, "logits"),
      batch_(device, capacity),
      first_row_(device, DType::i32, 1, 1, "logits"),
      logits_on_host_(static_cast<size_t>(config.V)) {
  first_row_.set_zero();
  kernels.reserve({.T = capacity,
                   .C = config.C,
                   .H = config.H,
                   .G = config.G,
                   .D = config.D,
                   .F = config.F,
                   .longest = capacity,
                   .shard = 0,
                   .dtype = dtype,
                   .windows = distinct_windows(config)});
  for (const UnitSpec& spec : specs_) units_.emplace_back(device, dtype, 1, spec.size, "weights");
  for (int64_t i = 0; i < config.L; ++i) {
    const auto unit = static_cast<size_t>(i) + 1;
    layers_.push_back(layer_weights(config_, specs_[unit], units_[unit].data(), dtype));
    k_cache_.emplace_back(device, dtype, capacity, config.G * config.D, "key cache");
    v_cache_.emplace_back(device, dtype, capacity, config.G * config.D, "value cache");
  }
}

void InferenceModel::load(const ReadTensor& read) {
  constexpr int64_t piece = 1 << 20;
  std::vector<float> values(piece);
  const Buffer staging(device_, DType::f32, 1, piece, "weights on their way");
  for (size_t u = 0; u < specs_.size(); ++u)
    for (const TensorSpec& tensor : specs_[u].tensors)
      for (int64_t offset = 0; offset < tensor.size(); offset += piece) {
        const int64_t n = std::min(piece, tensor.size() - offset);
        read(tensor.name, offset, n, values.data());
        device_.copy(values.data(), staging.data(), n * size_of(DType::f32));
        kernels_.memory.cast(*stream_, staging.view().cols_from(0, n),
                             units_[u].view().cols_from(tensor.offset + offset, n));
        stream_->synchronize();
      }
}

View InferenceModel::output_of(int64_t layer, int64_t T) const { return store_.hidden((layer + 1) % 2, T); }

LayerActivations InferenceModel::activations(int64_t layer, int64_t T) const {
  LayerActivations a = store_.layer(0, T);
  a.input = store_.hidden(layer % 2, T);
  return a;
}

Documents InferenceModel::embed(const std::vector<int32_t>& tokens) {
  const auto T = static_cast<int64_t>(tokens.size());
  if (T == 0) throw DataError("the prompt has no tokens");
  if (length_ + T > capacity_) throw DataError("{} tokens do not fit the cache of {}", length_ + T, capacity_);
  Batch batch;
  batch.tokens = tokens;
  batch.positions.resize(tokens.size());
  std::iota(batch.positions.begin(), batch.positions.end(), static_cast<int32_t>(length_));
  batch.cu_seqlens = {0, static_cast<int32_t>(T)};
  batch_.fill(*stream_, std::move(batch));
  length_ += T;
  kernels_.rotary.rope_table(*stream_, batch_.positions(), T, rope_.inv_freq.data(), config_.D / 2, rope_.scale,
                             cos_.as<float>(), sin_.as<float>());
  kernels_.embedding.forward(*stream_, batch_.tokens(), embedding_weights(config_, units_.front().data(), dtype_),
                             store_.hidden(0, T));
  return batch_.documents(cos_.as<float>(), sin_.as<float>());
}

const float* InferenceModel::start(const std::vector<int32_t>& prompt) {
  length_ = 0;
  const Documents docs = embed(prompt);
  const int64_t T = docs.T;
  for (int64_t i = 0; i < config_.L; ++i) {
    const auto layer = static_cast<size_t>(i);
    const LayerActivations a = activations(i, T);
    layer_.forward(*stream_, i, layers_[layer], docs, a, output_of(i, T));
    const DecoderLayer::Heads heads = layer_.heads(a);
    kernels_.memory.cast(*stream_, heads.k, k_cache_[layer].view(T));
    kernels_.memory.cast(*stream_, heads.v, v_cache_[layer].view(T));
  }
  return logits_of_row(T - 1);
}

const float* InferenceModel::next(int32_t token) {
  const Documents docs = embed({token});
  const std::vector<int64_t> length = {length_};
  std::vector<std::vector<View>> caches;  // alive until the stream has passed
  caches.reserve(static_cast<size_t>(2 * config_.L));
  for (int64_t i = 0; i < config_.L; ++i) {
    const auto layer = static_cast<size_t>(i);
    const auto& k = caches.emplace_back(std::vector<View>{k_cache_[layer].view()});
    const auto& v = caches.emplace_back(std::vector<View>{v_cache_[layer].view()});
    layer_.decode(*stream_, i, layers_[layer], docs, activations(i, 1), k, v, length, output_of(i, 1));
  }
  return logits_of_row(0);
}

const float* InferenceModel::logits_of_row(int64_t row) {
  const View hidden = store_.hidden(config_.L % 2, row + 1).rows_from(row, 1);
  const HeadWeights w = head_weights(config_, specs_.back(), units_.back().data(), dtype_,
                                     embedding_weights(config_, units_.front().data(), dtype_));
  head_.logits(*stream_, hidden, first_row_.as<int32_t>(), 1, w, logits_.view());
  stream_->synchronize();
  device_.copy(logits_.data(), logits_on_host_.data(), logits_.bytes());
  return logits_on_host_.data();
}

}  // namespace tessera
