#pragma once
#include <cstdint>
#include <deque>
#include <vector>

#include "device/buffer.h"
#include "kernels/kernels.h"

namespace tessera::bench {

enum class Numbers { uniform, positive };  ///< between -1 and 1, or above 0

/// Random numbers on a device, that operands are filled from: made on the host once, as that takes longer than most
/// kernels.
class RandomNumbers {
 public:
  RandomNumbers(Device& device, Kernels& kernels);
  void fill(Stream& stream, const View& view, Numbers numbers) const;

 private:
  Kernels& kernels_;
  Buffer bf16_, f32_, positive_;
};

/// The memory of one call of a kernel.  Counts what the call has to move at least: each input read once, each output
/// written once.
class Operands {
 public:
  /// To count alone: without memory, so the call must not be made.
  Operands() = default;
  Operands(Device& device, Stream& stream, const RandomNumbers& random)
      : device_(&device), stream_(&stream), random_(&random) {}

  View input(DType dtype, int64_t rows, int64_t cols, Numbers numbers = Numbers::uniform) {
    return count(1, matrix(dtype, rows, cols, numbers));
  }
  View output(DType dtype, int64_t rows, int64_t cols) { return count(1, matrix(dtype, rows, cols)); }
  /// Read and written.
  View updated(DType dtype, int64_t rows, int64_t cols, Numbers numbers = Numbers::uniform) {
    return count(2, matrix(dtype, rows, cols, numbers));
  }
  /// Of which the call says itself what it moves, by count().
  View matrix(DType dtype, int64_t rows, int64_t cols, Numbers numbers = Numbers::uniform);
  void count(int64_t bytes) { moved_ += bytes; }

  /// Host values on the device: ids, targets, positions.
  template <typename T>
  T* array(const std::vector<T>& values) {
    const auto bytes = static_cast<int64_t>(values.size() * sizeof(T));
    count(bytes);
    if (device_ == nullptr) return nullptr;
    buffers_.emplace_back(*device_, bytes, "a benchmark's array");
    device_->copy(values.data(), buffers_.back().data(), bytes);
    return buffers_.back().as<T>();
  }
  /// Host memory that lives as long as these.
  template <typename T>
  T* on_host(const std::vector<T>& values) {
    if (device_ == nullptr) return nullptr;
    host_.emplace_back(*device_, static_cast<int64_t>(values.size() * sizeof(T)), "a benchmark's array", Memory::host);
    std::copy(values.begin(), values.end(), host_.back().as<T>());
    return host_.back().as<T>();
  }

  /// What has to run before the first call.
  template <typename Run>
  void prepare(const Run& run) {
    if (device_ != nullptr) run();
  }

  int64_t bytes_moved() const { return moved_; }
  int64_t bytes_held() const;

 private:
  View count(int64_t times, const View& view) {
    count(times * view.bytes());
    return view;
  }

  Device* device_ = nullptr;
  Stream* stream_ = nullptr;
  const RandomNumbers* random_ = nullptr;
  std::vector<Buffer> buffers_, host_;
  int64_t moved_ = 0;
};

}  // namespace tessera::bench
