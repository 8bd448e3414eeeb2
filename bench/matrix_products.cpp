#include <fmt/format.h>

#include "bench/bench.h"

namespace tessera::bench {

void Bench::linear(const std::string& call, DType dtype, int64_t rows, int64_t in, int64_t out, DType result) {
  const double flops = 2.0 * static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out);
  const std::string shape = fmt::format("[{}, {}] -> [{}, {}]", rows, in, rows, out);
  measure({"linear_forward", call}, shape, dtype, flops, [&](Operands& o) {
    const View x = o.input(dtype, rows, in), w = o.input(dtype, out, in), y = o.output(result, rows, out);
    return [=, this] { kernels_->linear.forward(*stream_, x, w, {}, {}, y); };
  });
  measure({"linear_backward_input", call}, shape, dtype, flops, [&](Operands& o) {
    const View dy = o.input(dtype, rows, out), w = o.input(dtype, out, in), dx = o.output(dtype, rows, in);
    return [=, this] { kernels_->linear.backward_input(*stream_, dy, w, dx, Write::overwrite); };
  });
  for (const Write mode : {Write::overwrite, Write::accumulate}) {
    const bool added = mode == Write::accumulate;
    measure({"linear_backward_weight", call + (added ? ", accumulated" : "")}, shape, dtype, flops, [&](Operands& o) {
      const View dy = o.input(dtype, rows, out), x = o.input(dtype, rows, in),
                 dw = added ? o.updated(DType::f32, out, in) : o.output(DType::f32, out, in);
      return [=, this] { kernels_->linear.backward_weight(*stream_, dy, x, dw, mode); };
    });
  }
}

/// With the residual stream added.
void Bench::linear_added(const std::string& call, DType dtype, int64_t in, int64_t out) {
  const double flops = 2.0 * static_cast<double>(s_.T) * static_cast<double>(in) * static_cast<double>(out);
  const std::string shape = fmt::format("[{}, {}] -> [{}, {}]", s_.T, in, s_.T, out);
  measure({"linear_forward", call + ", added"}, shape, dtype, flops, [&](Operands& o) {
    const View x = o.input(dtype, s_.T, in), w = o.input(dtype, out, in);
    const View added = o.input(dtype, s_.T, out), y = o.output(dtype, s_.T, out);
    return [=, this] { kernels_->linear.forward(*stream_, x, w, {}, added, y); };
  });
}

void Bench::measure_matrix_products(DType dtype) {
  const int64_t qkv = (s_.H + 2 * s_.G) * s_.D;
  linear("q, k, v", dtype, s_.T, s_.C, qkv, dtype);
  linear("o", dtype, s_.T, s_.H * s_.D, s_.C, dtype);
  linear("gate, up", dtype, s_.T, s_.C, 2 * s_.F, dtype);
  linear("down", dtype, s_.T, s_.F, s_.C, dtype);
  linear("head", dtype, s_.loss_rows, s_.C, s_.V, DType::f32);
  linear_added("o", dtype, s_.H * s_.D, s_.C);
  linear_added("down", dtype, s_.F, s_.C);

  measure({"bias_backward", "q, k, v"}, fmt::format("[{}, {}]", s_.T, qkv), dtype, 0, [&](Operands& o) {
    const View dy = o.input(dtype, s_.T, qkv), db = o.updated(DType::f32, 1, qkv);
    return [=, this] { kernels_->linear.bias_backward(*stream_, dy, db); };
  });
}

}  // namespace tessera::bench
