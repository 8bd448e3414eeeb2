#include "session/flops.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include "device/buffer.h"
#include "model/units.h"

namespace tessera {
namespace {

/// Products of square matrices of one size.
class SquareProduct {
 public:
  SquareProduct(Device& device, Kernels& kernels, DType dtype, int64_t size)
      : kernels_(kernels),
        size_(size),
        x_(device, dtype, size, size, "peak measurement"),
        w_(device, dtype, size, size, "peak measurement"),
        y_(device, dtype, size, size, "peak measurement"),
        stream_(device.make_stream("peak")) {
    x_.set_zero();
    w_.set_zero();
  }

  int64_t size() const { return size_; }
  double seconds() {
    const auto start = std::chrono::steady_clock::now();
    kernels_.linear.forward(*stream_, x_.view(), w_.view(), {}, {}, y_.view());
    stream_->synchronize();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  Kernels& kernels_;
  int64_t size_;
  Buffer x_, w_, y_;
  std::unique_ptr<Stream> stream_;
};

}  // namespace

FlopCounter::FlopCounter(const ModelSpec& spec)
    : per_token_(6.0 * static_cast<double>(multiplied_parameter_count(spec, Band::trained)) +
                 4.0 * static_cast<double>(multiplied_parameter_count(spec, Band::frozen))) {
  for (const LayerSpec& layer : spec.layers)
    layers_.push_back({layer.attention.window, static_cast<double>(layer.attention.H * layer.attention.D)});
}

double FlopCounter::of_document(int64_t tokens) const {
  const auto n = static_cast<double>(tokens);
  double flops = per_token_ * n;
  for (const auto& [window, width] : layers_) {
    const double reach = window > 0 ? std::min(n, static_cast<double>(window)) : n;
    const double pairs = n * reach - reach * reach / 2;  // query-key pairs of the causal band
    flops += 12.0 * width * pairs;
  }
  return flops;
}

double best_product_rate(const std::function<double(int64_t size)>& seconds) {
  constexpr double long_enough = 2e-3;  // what a launch, or waking threads, takes is small beside it
  constexpr int64_t largest = 8192;
  constexpr int timed = 5;
  for (int64_t size = 128;; size *= 2) {
    seconds(size);  // chooses the kernel, and on a CPU compiles it
    double least = seconds(size);
    if (least < long_enough && size < largest) continue;
    for (int i = 1; i < timed; ++i) least = std::min(least, seconds(size));
    return 2.0 * static_cast<double>(size * size * size) / least;
  }
}

double gemm_peak(Device& device, Kernels& kernels, DType dtype) {
  if (const double known = device.peak_flops(dtype); known > 0) return known;
  std::unique_ptr<SquareProduct> product;
  return best_product_rate([&](int64_t size) {
    if (product == nullptr || product->size() != size)
      product = std::make_unique<SquareProduct>(device, kernels, dtype, size);
    return product->seconds();
  });
}

}  // namespace tessera
