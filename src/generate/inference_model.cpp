#include "generate/inference_model.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace tessera {
InferenceModel::InferenceModel(Device& device, Kernels& kernels, const ModelSpec& spec, DType dtype, int64_t capacity)
    : device_(device),
      kernels_(kernels),
      spec_(spec),
      dtype_(dtype),
      capacity_(capacity),
      specs_(model_units(spec)),
      layers_(make_layers(spec, specs_, dtype)),
      stream_(device.make_stream("generate")),
      store_(device, {spec.C, capacity, dtype, Checkpointing::full, /*trains=*/false}, slots_of(layers_)),
      head_(device, kernels, spec, dtype, 1),
      rotary_(device, spec, capacity),
      logits_(device, DType::f32, 1, spec.V, "logits"),
      batch_(device, capacity),
      first_row_(device, DType::i32, 1, 1, "logits"),
      logits_on_host_(static_cast<size_t>(spec.V)) {
  first_row_.set_zero();
  kernels.reserve(largest_shapes(spec, dtype, capacity, /*longest=*/capacity, /*shard=*/0));
  for (const UnitSpec& unit : specs_) {
    trained_.emplace_back(device, dtype, 1, unit.size(Band::trained), "weights");
    frozen_.emplace_back(device, dtype, 1, unit.size(Band::frozen), "weights");
  }
  for (const DecoderLayer& layer : layers_) {
    const int64_t columns = layer.attention().spec().G * layer.attention().spec().D;
    k_cache_.emplace_back(device, dtype, capacity, columns, "key cache");
    v_cache_.emplace_back(device, dtype, capacity, columns, "value cache");
  }
}

void InferenceModel::load(const StreamTensor& stream) {
  constexpr int64_t most = 1 << 20;
  const Buffer staging(device_, DType::f32, 1, most, "weights on their way");
  const auto put = [&](View to, const float* elements, int64_t n) {
    device_.copy(elements, staging.data(), n * size_of(DType::f32));
    kernels_.memory.cast(*stream_, staging.view().cols_from(0, n), to);
    stream_->synchronize();
  };
  for (size_t u = 0; u < specs_.size(); ++u)
    for (const TensorSpec& tensor : specs_[u].tensors)
      stream(tensor, [&](const float* elements, int64_t at, int64_t count) {
        for (int64_t done = 0; done < count; done += most) {
          const int64_t n = std::min(most, count - done);
          put((tensor.band() == Band::trained ? trained_ : frozen_)[u].view().cols_from(tensor.offset + at + done, n),
              elements + done, n);
        }
      });
}

Documents InferenceModel::embed(const std::vector<int32_t>& tokens) {
  const auto T = static_cast<int64_t>(tokens.size());
  if (T == 0) throw DataError("the prompt has no tokens");
  if (length_ + T > capacity_) throw DataError("{} tokens do not fit into the cache of {}", length_ + T, capacity_);
  Batch batch;
  batch.tokens = tokens;
  batch.positions.resize(tokens.size());
  std::iota(batch.positions.begin(), batch.positions.end(), static_cast<int32_t>(length_));
  batch.cu_seqlens = {0, static_cast<int32_t>(T)};
  batch_.fill(*stream_, std::move(batch));
  Documents documents = batch_.documents();
  documents.rotary = rotary_.fill(kernels_, *stream_, batch_.positions(), documents, /*first_position=*/length_);
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  length_ += T;
  kernels_.embedding.forward(*stream_, batch_.tokens(), embedding_table(spec_, specs_.front(), weights(0)),
                             store_.hidden(0, T), embedding_factor(spec_, dtype_));
  return documents;
}

const float* InferenceModel::start(const std::vector<int32_t>& prompt) {
  length_ = 0;
  tokens_.clear();
  const Documents docs = embed(prompt);
  const int64_t T = docs.T;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    const LayerActivations a = store_.layer(number, T);
    layers_[i].forward({kernels_, *stream_, docs, weights(i + 1)}, a, store_.hidden(number + 1, T));
    const Attention::Heads heads = layers_[i].attention().heads(a);
    kernels_.memory.cast(*stream_, heads.k, k_cache_[i].view(T));
    kernels_.memory.cast(*stream_, heads.v, v_cache_[i].view(T));
  }
  return logits_of_row(T - 1);
}

const float* InferenceModel::next(int32_t token) {
  // Of longrope: the keys in the cache were turned by the other frequencies.
  if (rotary_.change_between(length_, length_ + 1)) {
    std::vector<int32_t> text = tokens_;
    text.push_back(token);
    return start(text);
  }
  const Documents docs = embed({token});
  std::vector<KeyValueCache> caches;  // alive until the stream has passed
  caches.reserve(layers_.size());
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    caches.push_back({{k_cache_[i].view()}, {v_cache_[i].view()}, {length_}});
    layers_[i].decode({kernels_, *stream_, docs, weights(i + 1)}, store_.layer(number, 1), caches.back(),
                      store_.hidden(number + 1, 1));
  }
  return logits_of_row(0);
}

const float* InferenceModel::logits_of_row(int64_t row) {
  const View hidden = store_.hidden(spec_.L(), row + 1).rows_from(row, 1);
  const HeadWeights w = head_weights(spec_, specs_.back(), weights(specs_.size() - 1),
                                     embedding_table(spec_, specs_.front(), weights(0)));
  head_.logits(*stream_, hidden, first_row_.as<int32_t>(), 1, w, logits_.view());
  stream_->synchronize();
  device_.copy(logits_.data(), logits_on_host_.data(), logits_.bytes());
  return logits_on_host_.data();
}

}  // namespace tessera
