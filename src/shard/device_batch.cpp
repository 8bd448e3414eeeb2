#include "shard/device_batch.h"

#include <stdexcept>
#include <utility>

namespace tessera {

DeviceBatch::DeviceBatch(Device& device, Batch batch) : batch_(std::move(batch)) {
  if (device.kind() != DeviceKind::cpu) throw std::logic_error("batches are in host memory, which only a CPU reads");
  for (size_t t = 0; t < batch_.targets.size(); ++t) {
    if (batch_.targets[t] < 0) continue;
    rows_.push_back(static_cast<int32_t>(t));
    targets_.push_back(batch_.targets[t]);
  }
}

Supervised DeviceBatch::supervised() const {
  return {static_cast<int64_t>(rows_.size()), rows_.data(), targets_.data()};
}

Documents DeviceBatch::documents(const float* cos, const float* sin) const {
  return {batch_.size(), batch_.cu_seqlens.data(), batch_.documents(), cos, sin};
}

}  // namespace tessera
