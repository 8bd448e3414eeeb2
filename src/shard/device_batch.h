#pragma once
#include <vector>

#include "data/batch.h"
#include "device/buffer.h"
#include "model/head.h"
#include "model/layer.h"

namespace tessera {

/// A batch where the kernels can read it.  Lives until the compute stream has passed the last kernel that reads it.
class DeviceBatch {
 public:
  DeviceBatch(Device& device, Batch batch);

  int64_t size() const { return batch_.size(); }
  const int32_t* tokens() const { return batch_.tokens.data(); }
  const int32_t* positions() const { return batch_.positions.data(); }
  Supervised supervised() const;
  /// With the rotary tables that the caller has enqueued for it.
  Documents documents(const float* cos, const float* sin) const;

 private:
  Batch batch_;
  std::vector<int32_t> rows_, targets_;  // of the tokens that carry loss
};

}  // namespace tessera
