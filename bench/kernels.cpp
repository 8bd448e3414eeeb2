#include "kernels/kernels.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "device/buffer.h"

// bench_kernels [tokens] [threads]: the kernels of one decoder layer of SmolLM2-135M, in bf16 and fp32: the best time
// of several runs, GFLOP/s of the matrix products and attention, GB/s of what only reads and writes.

namespace tessera {
namespace {

constexpr int64_t C = 576, H = 9, G = 3, D = 64, F = 1536, V = 49152, head_chunk = 256;

class Bench {
 public:
  Bench(int64_t tokens, int threads) : T_(tokens), device_(make_cpu_device(threads)), kernels_(make_kernels(*device_)) {
    stream_ = device_->make_stream("bench");
  }

  void layer(DType dtype);

 private:
  /// A matrix of small random numbers, as large gradients or zeros would be another case for some processors.
  View matrix(DType dtype, int64_t rows, int64_t cols);
  void linear(const std::string& name, DType dtype, int64_t rows, int64_t in, int64_t out, DType result);
  void attention(DType dtype, const std::vector<int32_t>& cu_seqlens, const std::string& name);
  void others(DType dtype);

  double best_seconds(const std::function<void()>& enqueue);
  void print_flops(const std::string& name, double flops, const std::function<void()>& enqueue) {
    const double seconds = best_seconds(enqueue);
    fmt::print("  {:<40} {:9.3f} ms {:8.1f} GFLOP/s\n", name, seconds * 1e3, flops / seconds * 1e-9);
  }
  void print_bytes(const std::string& name, int64_t bytes, const std::function<void()>& enqueue) {
    const double seconds = best_seconds(enqueue);
    fmt::print("  {:<40} {:9.3f} ms {:8.1f} GB/s\n", name, seconds * 1e3, static_cast<double>(bytes) / seconds * 1e-9);
  }

  int64_t T_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Kernels> kernels_;
  std::unique_ptr<Stream> stream_;
  std::vector<Buffer> buffers_;
};

View Bench::matrix(DType dtype, int64_t rows, int64_t cols) {
  buffers_.emplace_back(*device_, dtype, rows, cols, "a benchmark's matrix");
  const View view = buffers_.back().view();
  std::minstd_rand generator(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  with_compute_type(dtype, [&](auto type) {
    auto* elements = view.as<decltype(type)>();
    for (int64_t i = 0; i < view.size(); ++i) elements[i] = static_cast<decltype(type)>(uniform(generator));
  });
  return view;
}

double Bench::best_seconds(const std::function<void()>& enqueue) {
  using Clock = std::chrono::steady_clock;
  double best = 1e9, total = 0;
  for (int run = 0; run < 3 || (total < 0.5 && run < 100); ++run) {
    const auto begin = Clock::now();
    enqueue();
    stream_->synchronize();
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    total += seconds;
    best = std::min(best, seconds);
  }
  return best;
}

void Bench::linear(const std::string& name, DType dtype, int64_t rows, int64_t in, int64_t out, DType result) {
  const View x = matrix(dtype, rows, in), w = matrix(dtype, out, in), y = matrix(result, rows, out),
             dy = matrix(dtype, rows, out), dx = matrix(dtype, rows, in), dw = matrix(DType::f32, out, in);
  const double flops = 2.0 * static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out);
  const std::string size = fmt::format("{} [{}, {}] -> {}", name, rows, in, out);
  print_flops(size + " forward", flops, [&] { kernels_->linear_forward(*stream_, x, w, {}, y, Write::overwrite); });
  if (result == dtype)
    print_flops(size + " forward, added", flops,
                [&] { kernels_->linear_forward(*stream_, x, w, {}, y, Write::accumulate); });
  print_flops(size + " backward input", flops,
              [&] { kernels_->linear_backward_input(*stream_, dy, w, dx, Write::overwrite); });
  print_flops(size + " backward weight", flops,
              [&] { kernels_->linear_backward_weight(*stream_, dy, x, dw, Write::overwrite); });
  buffers_.clear();
}

void Bench::attention(DType dtype, const std::vector<int32_t>& cu_seqlens, const std::string& name) {
  const View qkv = matrix(dtype, T_, (H + 2 * G) * D), dqkv = matrix(dtype, T_, (H + 2 * G) * D),
             out = matrix(dtype, T_, H * D), dout = matrix(dtype, T_, H * D), statistics = matrix(DType::f32, T_, H);
  const Kernels::AttentionShape shape{.H = H,
                                      .G = G,
                                      .D = D,
                                      .window = 0,
                                      .scale = 0.125f,
                                      .cu_seqlens = cu_seqlens.data(),
                                      .N = static_cast<int64_t>(cu_seqlens.size()) - 1};
  double pairs = 0;  // of a query and a key that it sees
  for (int64_t n = 0; n < shape.N; ++n) {
    const double length = cu_seqlens[static_cast<size_t>(n) + 1] - cu_seqlens[static_cast<size_t>(n)];
    pairs += length * (length + 1) / 2;
  }
  const double product = 2 * pairs * static_cast<double>(H * D);
  const auto q = [](View m) { return m.cols_from(0, H * D); };
  const auto k = [](View m) { return m.cols_from(H * D, G * D); };
  const auto v = [](View m) { return m.cols_from((H + G) * D, G * D); };
  auto* log_sum_exp = statistics.as<float>();
  print_flops(name + " forward", 2 * product,
              [&] { kernels_->attention_forward(*stream_, shape, q(qkv), k(qkv), v(qkv), out, log_sum_exp); });
  print_flops(name + " backward", 5 * product, [&] {
    kernels_->attention_backward(*stream_, shape, q(qkv), k(qkv), v(qkv), out, log_sum_exp, dout, q(dqkv), k(dqkv),
                                 v(dqkv));
  });
  buffers_.clear();
}

void Bench::others(DType dtype) {
  const View x = matrix(dtype, T_, C), y = matrix(dtype, T_, C), w = matrix(dtype, 1, C), dw = matrix(DType::f32, 1, C),
             r = matrix(DType::f32, 1, T_), gate_up = matrix(dtype, T_, 2 * F), f = matrix(dtype, T_, F),
             logits = matrix(DType::f32, head_chunk, V), dlogits = matrix(dtype, head_chunk, V),
             qkv = matrix(dtype, T_, (H + 2 * G) * D), cos = matrix(DType::f32, T_, D / 2),
             sin = matrix(DType::f32, T_, D / 2), master = matrix(DType::f32, 4, F * C),
             weights = matrix(dtype, 1, F * C);
  const std::vector<int32_t> targets(head_chunk, 7);
  double loss = 0;
  auto* inv_rms = r.as<float>();
  print_bytes("rmsnorm_forward", x.bytes() * 2, [&] { kernels_->rmsnorm_forward(*stream_, x, w, 1e-5f, y, inv_rms); });
  print_bytes("rmsnorm_backward", x.bytes() * 3,
              [&] { kernels_->rmsnorm_backward(*stream_, x, w, inv_rms, y, y, Write::overwrite, dw); });
  print_bytes("rope_forward", qkv.bytes() * 2, [&] {
    kernels_->rope_forward(*stream_, cos.as<float>(), sin.as<float>(), D, qkv.cols_from(0, (H + G) * D));
  });
  print_bytes("swiglu_forward", gate_up.bytes() + f.bytes(), [&] { kernels_->swiglu_forward(*stream_, gate_up, f); });
  print_bytes("swiglu_backward", gate_up.bytes() * 2 + f.bytes(),
              [&] { kernels_->swiglu_backward(*stream_, gate_up, f, gate_up); });
  print_bytes("cross_entropy with gradient", logits.bytes() + dlogits.bytes(),
              [&] { kernels_->cross_entropy(*stream_, logits, targets.data(), 1e-3f, dlogits, &loss); });
  print_bytes("adamw", F * C * 28 + weights.bytes(), [&] {
    const AdamWStep step{1e-3f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.1f, 0.001f, 1};
    auto* m = master.as<float>();
    kernels_->adamw(*stream_, step, F * C, m, m + F * C, m + 2 * F * C, m + 3 * F * C, weights);
  });
  buffers_.clear();
}

void Bench::layer(DType dtype) {
  fmt::print("{}, T = {}, {}\n", name_of(dtype), T_, device_->description());
  linear("qkv", dtype, T_, C, (H + 2 * G) * D, dtype);
  linear("o", dtype, T_, H * D, C, dtype);
  linear("gate_up", dtype, T_, C, 2 * F, dtype);
  linear("down", dtype, T_, F, C, dtype);
  linear("head", dtype, head_chunk, C, V, DType::f32);
  attention(dtype, {0, static_cast<int32_t>(T_)}, "attention, one document");
  std::vector<int32_t> packed;
  for (int32_t at = 0; at < T_; at += 150) packed.push_back(at);
  packed.push_back(static_cast<int32_t>(T_));
  attention(dtype, packed, "attention, documents of 150");
  others(dtype);
  fmt::print("  device memory at most {:.1f} MB\n", static_cast<double>(device_->peak_bytes()) * 1e-6);
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  const int64_t tokens = argc > 1 ? std::atoll(argv[1]) : 1024;
  const int threads = argc > 2 ? std::atoi(argv[2]) : 1;
  tessera::Bench bench(tokens, threads);
  bench.layer(tessera::DType::bf16);
  bench.layer(tessera::DType::f32);
}
