#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "bench/bench.h"

namespace tessera::bench {
namespace {

constexpr float eps = 1e-5f;

std::vector<int32_t> positions(int64_t T) {
  std::vector<int32_t> values(static_cast<size_t>(T));
  std::iota(values.begin(), values.end(), 0);
  return values;
}
std::vector<float> inv_freq(int64_t half) {
  std::vector<float> values;
  for (int64_t i = 0; i < half; ++i)
    values.push_back(std::pow(10000.0f, -static_cast<float>(i) / static_cast<float>(half)));
  return values;
}

}  // namespace

void Bench::measure_rows(DType dtype) {
  const std::string shape = fmt::format("[{}, {}]", s_.T, s_.C);
  measure({"rmsnorm_forward"}, shape, dtype, 0, [&](Operands& o) {
    const View x = o.input(dtype, s_.T, s_.C), w = o.input(dtype, 1, s_.C), y = o.output(dtype, s_.T, s_.C);
    auto* const inv_rms = o.output(DType::f32, 1, s_.T).as<float>();
    return [=, this] { kernels_->norm.rmsnorm_forward(*stream_, x, w, {eps}, {}, y, inv_rms); };
  });
  measure({"rmsnorm_forward", "added to the residual"}, shape, dtype, 0, [&](Operands& o) {
    const View x = o.input(dtype, s_.T, s_.C), w = o.input(dtype, 1, s_.C), y = o.updated(dtype, s_.T, s_.C);
    auto* const inv_rms = o.output(DType::f32, 1, s_.T).as<float>();
    return [=, this] { kernels_->norm.rmsnorm_forward(*stream_, x, w, {eps}, y, y, inv_rms); };
  });
  for (const Write mode : {Write::overwrite, Write::accumulate}) {
    const bool added = mode == Write::accumulate;
    measure({"rmsnorm_backward", added ? "added to the residual's" : ""}, shape, dtype, 0, [&](Operands& o) {
      const View x = o.input(dtype, s_.T, s_.C), w = o.input(dtype, 1, s_.C), dy = o.input(dtype, s_.T, s_.C),
                 dx = added ? o.updated(dtype, s_.T, s_.C) : o.output(dtype, s_.T, s_.C),
                 dw = o.updated(DType::f32, 1, s_.C);
      auto* const inv_rms = o.input(DType::f32, 1, s_.T, Numbers::positive).as<float>();
      return [=, this] { kernels_->norm.rmsnorm_backward(*stream_, x, w, {eps}, inv_rms, dy, dx, mode, dw); };
    });
  }
  head_rmsnorm(dtype);
  rope(dtype);

  for (const Activation activation : {Activation::silu, Activation::gelu_tanh}) gated(dtype, activation);
  scale(dtype);
}

void Bench::scale(DType dtype) {
  const std::string shape = fmt::format("[{}, {}]", s_.T, s_.C);
  measure({"scale"}, shape, dtype, 0, [&](Operands& o) {
    const View x = o.input(dtype, s_.T, s_.C), y = o.output(dtype, s_.T, s_.C);
    return [=, this] { kernels_->residual.scale(*stream_, x, 0.5f, {}, y); };
  });
  measure({"scale", "added to the residual"}, shape, dtype, 0, [&](Operands& o) {
    const View x = o.input(dtype, s_.T, s_.C), y = o.updated(dtype, s_.T, s_.C);
    return [=, this] { kernels_->residual.scale(*stream_, x, 0.5f, y, y); };
  });
}

void Bench::gated(DType dtype, Activation activation) {
  const std::string shape = fmt::format("[{}, 2·{}]", s_.T, s_.F), call = activation == Activation::silu ? "" : "gelu";
  measure({"gated_forward", call}, shape, dtype, 0, [&](Operands& o) {
    const View gate_up = o.input(dtype, s_.T, 2 * s_.F), y = o.output(dtype, s_.T, s_.F);
    return [=, this] { kernels_->activation.gated_forward(*stream_, activation, gate_up, y); };
  });
  measure({"gated_backward", call}, shape, dtype, 0, [&](Operands& o) {
    const View gate_up = o.input(dtype, s_.T, 2 * s_.F), dy = o.input(dtype, s_.T, s_.F),
               dgate_up = o.output(dtype, s_.T, 2 * s_.F), y = o.output(dtype, s_.T, s_.F);
    return [=, this] { kernels_->activation.gated_backward(*stream_, activation, gate_up, dy, dgate_up, y); };
  });
}

void Bench::head_rmsnorm(DType dtype) {
  const int64_t width = s_.H * s_.D;
  const std::string shape = fmt::format("[{}, {}·{}]", s_.T, s_.H, s_.D);
  measure({"rmsnorm_forward", "of each head"}, shape, dtype, 0, [&](Operands& o) {
    const View x = o.input(dtype, s_.T, width), w = o.input(dtype, 1, s_.D), y = o.output(dtype, s_.T, width);
    auto* const inv_rms = o.output(DType::f32, s_.T, s_.H).as<float>();
    return [=, this] { kernels_->norm.rmsnorm_forward(*stream_, x, w, {eps}, {}, y, inv_rms); };
  });
  measure({"rmsnorm_backward", "of each head"}, shape, dtype, 0, [&](Operands& o) {
    const View x = o.input(dtype, s_.T, width), w = o.input(dtype, 1, s_.D), dy = o.input(dtype, s_.T, width),
               dx = o.output(dtype, s_.T, width), dw = o.updated(DType::f32, 1, s_.D);
    auto* const inv_rms = o.input(DType::f32, s_.T, s_.H, Numbers::positive).as<float>();
    return [=, this] { kernels_->norm.rmsnorm_backward(*stream_, x, w, {eps}, inv_rms, dy, dx, Write::overwrite, dw); };
  });
}

/// Over q and k, which lie beside v.
void Bench::rope(DType dtype) {
  const int64_t heads = s_.H + s_.G;
  const auto rotate = [&](const std::string& name, const std::string& call, const auto& rotation, int64_t turned) {
    const int64_t half = turned / 2;
    measure({name, call}, fmt::format("[{}, {}·{}]", s_.T, heads, s_.D), dtype, 0, [&](Operands& o) {
      const View qkv = o.matrix(dtype, s_.T, (s_.H + 2 * s_.G) * s_.D), x = qkv.cols_from(0, heads * s_.D);
      o.count(2 * x.bytes() * turned / s_.D);
      auto* const cos = o.input(DType::f32, s_.T, half).as<float>();
      auto* const sin = o.input(DType::f32, s_.T, half).as<float>();
      const auto* const at = o.array(positions(s_.T));
      o.prepare([&] { kernels_->rotary.rope_table(*stream_, at, s_.T, inv_freq(half).data(), half, 1, cos, sin); });
      return [=, this] { (kernels_->rotary.*rotation)(*stream_, cos, sin, {s_.D, turned}, x); };
    });
  };
  rotate("rope_forward", "", &RotaryKernels::rope_forward, s_.D);
  rotate("rope_forward", "half of the columns", &RotaryKernels::rope_forward, s_.D / 2);
  rotate("rope_backward", "", &RotaryKernels::rope_backward, s_.D);
}

void Bench::measure_without_type() {
  const int64_t half = s_.D / 2;
  measure({"rope_table"}, fmt::format("[{}, {}]", s_.T, half), DType::f32, 0, [&](Operands& o) {
    const auto* const at = o.array(positions(s_.T));
    auto* const cos = o.output(DType::f32, s_.T, half).as<float>();
    auto* const sin = o.output(DType::f32, s_.T, half).as<float>();
    return [=, this, frequencies = inv_freq(half)] {
      kernels_->rotary.rope_table(*stream_, at, s_.T, frequencies.data(), half, 1, cos, sin);
    };
  });
  const LogitTransform capped{.softcap = 30};
  measure({"transform_logits", "capped"}, fmt::format("[{}, {}]", s_.sequences, s_.V), DType::f32, 0, [&](Operands& o) {
    const View logits = o.updated(DType::f32, s_.sequences, s_.V);
    return [=, this] { kernels_->loss.transform_logits(*stream_, capped, logits); };
  });
  measure({"fill_zero"}, fmt::format("{} MiB", s_.copied >> 20), DType::f32, 0, [&](Operands& o) {
    const View to = o.output(DType::f32, 1, s_.copied / 4);
    return [=, this] { kernels_->memory.fill_zero(*stream_, to.data, to.bytes()); };
  });
}

}  // namespace tessera::bench
