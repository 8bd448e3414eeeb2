#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/number.h"
#include "bench/bench.h"

namespace tessera::bench {
namespace {

std::vector<int32_t> full_documents(int64_t T, int64_t longest) {
  std::vector<int32_t> cu_seqlens = {0};
  while (cu_seqlens.back() < T) cu_seqlens.push_back(narrow<int32_t>(std::min(cu_seqlens.back() + longest, T)));
  return cu_seqlens;
}

/// Documents that fill T tokens: log-normal lengths, as those of chats and instructions are, most of them short and a
/// few many times longer.  The longest first, as a GPU's batches have them.
std::vector<int32_t> packed_documents(int64_t T, int64_t longest, double median) {
  constexpr double spread = 1;  // of the logarithm
  std::mt19937_64 generator(1);
  std::lognormal_distribution<double> length(std::log(median), spread);
  std::vector<int64_t> lengths;
  for (int64_t left = T; left > 0; left -= lengths.back())
    lengths.push_back(std::clamp(static_cast<int64_t>(length(generator)), int64_t{1}, std::min(left, longest)));
  std::sort(lengths.rbegin(), lengths.rend());
  std::vector<int32_t> cu_seqlens = {0};
  for (const int64_t tokens : lengths) cu_seqlens.push_back(narrow<int32_t>(cu_seqlens.back() + tokens));
  return cu_seqlens;
}

/// Of a query and a key that it sees.
double pairs_of(const std::vector<int32_t>& cu_seqlens) {
  double pairs = 0;
  for (size_t n = 0; n + 1 < cu_seqlens.size(); ++n) {
    const double length = cu_seqlens[n + 1] - cu_seqlens[n];
    pairs += length * (length + 1) / 2;
  }
  return pairs;
}

}  // namespace

void Bench::attention(const std::string& call, DType dtype, const std::vector<int32_t>& cu_seqlens, float softcap) {
  const int64_t T = s_.T, q_width = s_.H * s_.D, kv_width = s_.G * s_.D, width = q_width + 2 * kv_width;
  const double product = 2 * pairs_of(cu_seqlens) * static_cast<double>(q_width);
  const size_t N = cu_seqlens.size() - 1;
  const std::string shape = fmt::format("T {}, N {}, H {}, G {}, D {}", T, N, s_.H, s_.G, s_.D);
  const auto q = [=](const View& m) { return m.cols_from(0, q_width); };
  const auto k = [=](const View& m) { return m.cols_from(q_width, kv_width); };
  const auto v = [=](const View& m) { return m.cols_from(q_width + kv_width, kv_width); };
  const auto shape_of = [&](Operands& o) {
    return AttentionShape{.H = s_.H,
                          .G = s_.G,
                          .D = s_.D,
                          .window = 0,
                          .scale = 1 / std::sqrt(static_cast<float>(s_.D)),
                          .cu_seqlens = o.on_host(cu_seqlens),
                          .N = static_cast<int64_t>(N),
                          .cu_seqlens_on_device = o.array(cu_seqlens),
                          .softcap = softcap};
  };
  measure({"attention_forward", call}, shape, dtype, 2 * product, [&](Operands& o) {
    const View qkv = o.input(dtype, T, width), out = o.output(dtype, T, q_width);
    auto* const log_sum_exp = o.output(DType::f32, T, s_.H).as<float>();
    const auto documents = shape_of(o);
    return [=, this] { kernels_->attention.forward(*stream_, documents, q(qkv), k(qkv), v(qkv), out, log_sum_exp); };
  });
  measure({"attention_backward", call}, shape, dtype, 5 * product, [&](Operands& o) {
    const View qkv = o.input(dtype, T, width), out = o.input(dtype, T, q_width), dout = o.input(dtype, T, q_width),
               dqkv = o.output(dtype, T, width);
    auto* const log_sum_exp = o.input(DType::f32, T, s_.H).as<float>();
    const auto documents = shape_of(o);
    o.prepare([&] { kernels_->attention.forward(*stream_, documents, q(qkv), k(qkv), v(qkv), out, log_sum_exp); });
    return [=, this] {
      kernels_->attention.backward(*stream_, documents, q(qkv), k(qkv), v(qkv), out, log_sum_exp, dout, q(dqkv),
                                   k(dqkv), v(dqkv));
    };
  });
}

void Bench::attention_decode(DType dtype) {
  const int64_t B = s_.sequences, width = s_.G * s_.D;
  const double flops = 4.0 * static_cast<double>(B * s_.cached * s_.H * s_.D);
  const std::string shape = fmt::format("{} sequences of {}, H {}, G {}, D {}", B, s_.cached, s_.H, s_.G, s_.D);
  measure({"attention_decode"}, shape, dtype, flops, [&](Operands& o) {
    const View q = o.input(dtype, B, s_.H * s_.D), out = o.output(dtype, B, s_.H * s_.D);
    std::vector<View> k, v;
    for (int64_t b = 0; b < B; ++b) {
      k.push_back(o.input(dtype, s_.cached, width));
      v.push_back(o.input(dtype, s_.cached, width));
    }
    const AttentionShape sizes{.H = s_.H,
                               .G = s_.G,
                               .D = s_.D,
                               .window = 0,
                               .scale = 1 / std::sqrt(static_cast<float>(s_.D)),
                               .cu_seqlens = nullptr,
                               .N = 0};
    const auto* const caches_k = o.on_host(k);
    const auto* const caches_v = o.on_host(v);
    const auto* const lengths = o.on_host(std::vector<int64_t>(static_cast<size_t>(B), s_.cached));
    return [=, this] { kernels_->attention.decode(*stream_, sizes, q, caches_k, caches_v, lengths, out); };
  });
}

void Bench::measure_attention(DType dtype) {
  attention("full documents", dtype, full_documents(s_.T, s_.longest));
  attention("full documents, capped", dtype, full_documents(s_.T, s_.longest), 50);
  attention("packed documents", dtype, packed_documents(s_.T, s_.longest, s_.typical_document));
  attention_decode(dtype);
}

}  // namespace tessera::bench
