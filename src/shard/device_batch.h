#pragma once
#include <vector>

#include "data/batch.h"
#include "device/buffer.h"
#include "model/head.h"
#include "model/layer.h"

namespace tessera {

/// A batch where the kernels can read it.  A CPU's kernels read the host's vectors; for other devices there is a copy.
class DeviceBatch {
 public:
  /// Room for batches of max_tokens, which takes so much of the device's memory.
  DeviceBatch(Device& device, int64_t max_tokens);
  static int64_t device_bytes(const Device& device, int64_t max_tokens);

  /// Takes the batch; a copy to the device is enqueued on `stream`.  Both are in use until the stream has passed the
  /// last kernel that reads them.  A GPU gets the documents sorted by length, the longest first, for its attention
  /// takes those of about one length together; nothing else depends on their order.
  void fill(Stream& stream, Batch batch);

  int64_t size() const { return batch_.size(); }
  const int32_t* tokens() const { return tokens_; }
  const int32_t* positions() const { return positions_; }
  Supervised supervised() const;
  /// Without rotary tables.
  Documents documents() const;

 private:
  void upload(Stream& stream);

  Device& device_;
  Batch batch_;
  std::vector<int32_t> supervised_rows_, supervised_targets_;
  Buffer staging_, memory_;  // all six arrays, one after another: host and device
  const int32_t *tokens_ = nullptr, *positions_ = nullptr, *samples_ = nullptr, *cu_seqlens_ = nullptr,
                *rows_ = nullptr,
                *targets_ = nullptr;  // where the kernels read
};

/// The same documents, the longest first; of equal ones the first first.
Batch sorted_by_length(const Batch& batch);

/// Micro-batches that the host may be ahead of the device: enough that the device never waits for it.
constexpr int64_t batches_ahead = 8;

}  // namespace tessera
