#include "device/device.h"

namespace tessera {

void Device::count(int64_t bytes) {
  const int64_t now = in_use_ += bytes;
  if (bytes > 0) ++allocations_;
  int64_t peak = peak_;
  while (now > peak && !peak_.compare_exchange_weak(peak, now)) {
  }
}

}  // namespace tessera
