#include "trainer/flops.h"

#include <algorithm>
#include <chrono>

#include "device/buffer.h"
#include "model/tensors.h"

namespace tessera {

FlopCounter::FlopCounter(const ModelConfig& config)
    : per_token_(6.0 * static_cast<double>(multiplied_parameter_count(config))),
      window_(config.window),
      attention_width_(static_cast<double>(config.H * config.D)) {}

double FlopCounter::of_document(int64_t tokens) const {
  const auto n = static_cast<double>(tokens);
  double flops = per_token_ * n;
  for (const int64_t window : window_) {
    const double reach = window > 0 ? std::min(n, static_cast<double>(window)) : n;
    const double pairs = n * reach - reach * reach / 2;  // query-key pairs of the causal band
    flops += 12.0 * attention_width_ * pairs;
  }
  return flops;
}

double gemm_peak(Device& device, Kernels& kernels, DType dtype) {
  if (const double known = device.peak_flops(dtype); known > 0) return known;
  constexpr int64_t rows = 512, inner = 1024, cols = 1024;
  const Buffer x(device, dtype, rows, inner, "peak measurement"), w(device, dtype, cols, inner, "peak measurement"),
      y(device, dtype, rows, cols, "peak measurement");
  x.set_zero();
  w.set_zero();
  const auto stream = device.make_stream("peak");
  double best = 0, spent = 0;
  for (int i = 0; i < 20 && spent < 0.02; ++i) {
    const auto start = std::chrono::steady_clock::now();
    kernels.linear_forward(*stream, x.view(), w.view(), {}, {}, y.view());
    stream->synchronize();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    spent += seconds;
    best = std::max(best, 2.0 * rows * inner * cols / seconds);
  }
  return best;
}

}  // namespace tessera
