#include <fmt/format.h>

#include "bench/bench.h"

namespace tessera::bench {

void Bench::linear(const std::string& name, DType dtype, int64_t rows, int64_t in, int64_t out, DType result) {
  const double flops = 2.0 * static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out);
  const std::string shape = fmt::format("{} [{}, {}] -> [{}, {}]", name, rows, in, rows, out);
  measure("linear_forward", shape, dtype, flops, [&](Operands& o) {
    const View x = o.input(dtype, rows, in), w = o.input(dtype, out, in), y = o.output(result, rows, out);
    return [=, this] { kernels_->linear_forward(*stream_, x, w, {}, {}, y); };
  });
  measure("linear_backward_input", shape, dtype, flops, [&](Operands& o) {
    const View dy = o.input(dtype, rows, out), w = o.input(dtype, out, in), dx = o.output(dtype, rows, in);
    return [=, this] { kernels_->linear_backward_input(*stream_, dy, w, dx, Write::overwrite); };
  });
  measure("linear_backward_weight", shape, dtype, flops, [&](Operands& o) {
    const View dy = o.input(dtype, rows, out), x = o.input(dtype, rows, in), dw = o.output(DType::f32, out, in);
    return [=, this] { kernels_->linear_backward_weight(*stream_, dy, x, dw, Write::overwrite); };
  });
}

void Bench::measure_matrix_products(DType dtype) {
  const int64_t qkv = (s_.H + 2 * s_.G) * s_.D;
  linear("q, k, v", dtype, s_.T, s_.C, qkv, dtype);
  linear("o", dtype, s_.T, s_.H * s_.D, s_.C, dtype);
  linear("gate, up", dtype, s_.T, s_.C, 2 * s_.F, dtype);
  linear("down", dtype, s_.T, s_.F, s_.C, dtype);
  linear("head", dtype, s_.loss_rows, s_.C, s_.V, DType::f32);

  const double flops = 2.0 * static_cast<double>(s_.T) * static_cast<double>(s_.F) * static_cast<double>(s_.C);
  measure("linear_forward", fmt::format("down, added [{}, {}] -> [{}, {}]", s_.T, s_.F, s_.T, s_.C), dtype, flops,
          [&](Operands& o) {
            const View x = o.input(dtype, s_.T, s_.F), w = o.input(dtype, s_.C, s_.F);
            const View added = o.input(dtype, s_.T, s_.C), y = o.output(dtype, s_.T, s_.C);
            return [=, this] { kernels_->linear_forward(*stream_, x, w, {}, added, y); };
          });
  measure("bias_backward", fmt::format("[{}, {}]", s_.T, qkv), dtype, 0, [&](Operands& o) {
    const View dy = o.input(dtype, s_.T, qkv), db = o.updated(DType::f32, 1, qkv);
    return [=, this] { kernels_->bias_backward(*stream_, dy, db); };
  });
}

}  // namespace tessera::bench
