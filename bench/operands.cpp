#include "bench/operands.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace tessera::bench {
namespace {

/// A multiple of 16 bytes in either type, and of no width that a model has: rows differ.
constexpr int64_t pool = (int64_t{1} << 22) + 104;

template <typename T>
Buffer upload(Device& device, const std::vector<float>& numbers) {
  const std::vector<T> converted(numbers.begin(), numbers.end());
  Buffer buffer(device, dtype_of<T>(), 1, pool, "a benchmark's random numbers");
  device.copy(converted.data(), buffer.data(), buffer.bytes());
  return buffer;
}

}  // namespace

RandomNumbers::RandomNumbers(Device& device, Kernels& kernels) : kernels_(kernels) {
  std::minstd_rand generator(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> numbers(pool);
  for (float& number : numbers) number = uniform(generator);
  bf16_ = upload<bf16>(device, numbers);
  f32_ = upload<float>(device, numbers);
  for (float& number : numbers) number = std::abs(number) + 1e-6f;
  positive_ = upload<float>(device, numbers);
}

void RandomNumbers::fill(Stream& stream, const View& view, Numbers numbers) const {
  const Buffer& from = view.dtype == DType::bf16 ? bf16_ : numbers == Numbers::positive ? positive_ : f32_;
  auto* to = static_cast<char*>(view.data);
  for (int64_t left = view.bytes(); left > 0; left -= from.bytes(), to += from.bytes())
    kernels_.memory.copy(stream, from.data(), to, std::min(left, from.bytes()));
}

View Operands::matrix(DType dtype, int64_t rows, int64_t cols, Numbers numbers) {
  if (device_ == nullptr) return {nullptr, dtype, rows, cols};
  buffers_.emplace_back(*device_, dtype, rows, cols, "a benchmark's matrix");
  random_->fill(*stream_, buffers_.back().view(), numbers);
  return buffers_.back().view();
}

int64_t Operands::bytes_held() const {
  int64_t bytes = 0;
  for (const Buffer& buffer : buffers_) bytes += buffer.bytes();
  return bytes;
}

}  // namespace tessera::bench
