#pragma once
#include <string>
#include <utility>

#include "base/amount.h"
#include "device/device.h"
#include "device/view.h"

namespace tessera {

/// Owns a piece of a device's memory.  Streams may still use it when it goes out of scope only if they were
/// synchronised.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device& device, int64_t bytes, const std::string& what, Memory place = Memory::device)
      : device_(&device),
        place_(place),
        bytes_(bytes),
        data_(bytes > 0 ? device.allocate(bytes, what, place) : nullptr) {}
  /// Elements of `dtype`: [rows, cols].
  Buffer(Device& device, DType dtype, int64_t rows, int64_t cols, const std::string& what,
         Memory place = Memory::device)
      : Buffer(device, (Amount(rows) * cols * size_of(dtype)).value(), what, place) {
    dtype_ = dtype, rows_ = rows, cols_ = cols;
  }
  ~Buffer() { reset(); }
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    if (this == &other) return *this;
    reset();
    device_ = other.device_, place_ = other.place_;
    dtype_ = other.dtype_, rows_ = other.rows_, cols_ = other.cols_;
    bytes_ = std::exchange(other.bytes_, 0);
    data_ = std::exchange(other.data_, nullptr);
    return *this;
  }

  void reset() noexcept {
    if (data_ != nullptr) device_->release(data_, bytes_, place_);
    data_ = nullptr;
    bytes_ = 0;
  }

  void set_zero() const { device_->set_zero(data_, bytes_, place_); }

  void* data() const { return data_; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  int64_t bytes() const { return bytes_; }
  View view() const { return {data_, dtype_, rows_, cols_}; }
  /// The first `rows` rows, where fewer are in use than there is room for.
  View view(int64_t rows) const { return {data_, dtype_, rows, cols_}; }

 private:
  Device* device_ = nullptr;
  Memory place_ = Memory::device;
  DType dtype_ = DType::f32;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  int64_t bytes_ = 0;
  void* data_ = nullptr;
};

/// A number that kernels make and the host reads.
template <typename T>
class Readback {
 public:
  /// `place`: where the kernels that make it work.
  Readback(Device& device, const std::string& what, Memory place = Memory::device)
      : memory_(device, sizeof(T), what, place), copy_(device, sizeof(T), what, Memory::host) {
    memory_.set_zero();
    *copy_.template as<T>() = 0;
  }

  T* for_kernels() const { return memory_.as<T>(); }
  /// Enqueues the copy that value() returns once the stream has passed.
  void fetch(Stream& stream) { stream.transfer(memory_.data(), copy_.data(), sizeof(T)); }
  T value() const { return *copy_.template as<T>(); }

 private:
  Buffer memory_, copy_;
};

}  // namespace tessera
