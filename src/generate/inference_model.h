#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device/buffer.h"
#include "kernels/kernels.h"
#include "model/activations.h"
#include "model/head.h"
#include "model/layer.h"
#include "model/rotary_tables.h"
#include "shard/device_batch.h"

/// The generate room: a whole model on one rank, in compute precision only, with a cache of keys and values.
namespace tessera {

/// Hands out a tensor in pieces, wherever it is stored: `count` elements from element `at` on.
using TakeElements = std::function<void(const float* elements, int64_t at, int64_t count)>;
using StreamTensor = std::function<void(const TensorSpec& tensor, const TakeElements& take)>;

class InferenceModel {
 public:
  /// Room for `capacity` tokens of prompt and answer.
  InferenceModel(Device& device, Kernels& kernels, const ModelSpec& spec, DType dtype, int64_t capacity);

  /// Fills the weights.
  void load(const StreamTensor& stream);

  /// Clears the cache, then processes the prompt. Returns the logits [V] after its last token; valid until the next
  /// call.
  const float* start(const std::vector<int32_t>& prompt);
  /// One more token.  Where the text grows over longrope's original length, all of it is computed again.
  const float* next(int32_t token);

  int64_t length() const { return length_; }
  int64_t capacity() const { return capacity_; }

 private:
  FlatUnit weights(size_t unit) const { return {trained_[unit].data(), dtype_, frozen_[unit].data()}; }
  /// Processes further tokens, embedded and with their rotary tables.
  Documents embed(const std::vector<int32_t>& tokens);
  const float* logits_of_row(int64_t row);

  Device& device_;
  Kernels& kernels_;
  const ModelSpec spec_;
  DType dtype_;
  int64_t capacity_;
  std::vector<UnitSpec> specs_;
  std::vector<Buffer> trained_, frozen_;  // the bands of the units
  std::vector<DecoderLayer> layers_;
  std::vector<Buffer> k_cache_, v_cache_;  // [capacity, G·D] a layer
  std::unique_ptr<Stream> stream_;
  ActivationStore store_;
  LossHead head_;
  RotaryTables rotary_;
  Buffer logits_;
  DeviceBatch batch_;
  Buffer first_row_;  // the index 0, as the head takes rows
  std::vector<float> logits_on_host_;
  int64_t length_ = 0;
  std::vector<int32_t> tokens_;  // [length_]: what the cache is of
};

}  // namespace tessera
