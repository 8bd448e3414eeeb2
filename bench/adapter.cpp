#include <fmt/format.h>

#include "bench/bench.h"

namespace tessera::bench {

void Bench::measure_adapter(DType dtype) {
  constexpr int64_t r = 16;
  const int64_t rows = s_.F, columns = s_.C, n = rows * columns, blocks = (n + nf4_block - 1) / nf4_block;
  const std::string matrix = fmt::format("[{}, {}]", rows, columns), batch = fmt::format("[{}, {}]", s_.T, rows);
  const auto bytes = [](int64_t count) { return std::vector<uint8_t>(static_cast<size_t>(count), 0x5a); };
  const auto floats = [](int64_t count) { return std::vector<float>(static_cast<size_t>(count), 0.1f); };
  measure({"dequantize_nf4"}, matrix, dtype, 0, [&](Operands& o) {
    const Nf4Matrix from{o.array(bytes((n + 1) / 2)), o.array(floats((blocks + absmax_block - 1) / absmax_block)),
                         o.array(bytes(blocks)), o.array(floats(1))};
    const View to = o.output(dtype, rows, columns);
    return [=, this] { kernels_->quantization.dequantize_nf4(*stream_, from, to); };
  });
  measure({"dequantize_int8"}, matrix, dtype, 0, [&](Operands& o) {
    const Int8Matrix from{reinterpret_cast<const int8_t*>(o.array(bytes(n))), o.array(floats(rows))};
    const View to = o.output(dtype, rows, columns);
    return [=, this] { kernels_->quantization.dequantize_int8(*stream_, from, to); };
  });
  const std::string wide = fmt::format("[{}, {}]", s_.T, columns);
  measure({"dropout"}, wide, dtype, 0, [&](Operands& o) {
    const View x = o.input(dtype, s_.T, columns), y = o.output(dtype, s_.T, columns);
    const std::vector<int32_t> numbers(static_cast<size_t>(s_.T), 7);
    const Dropout dropout{1, 1, 0.05f, o.array(numbers), o.array(numbers)};
    return [=, this] { kernels_->dropout.dropout(*stream_, dropout, x, y, Write::overwrite); };
  });
  measure({"dora_row_scales"}, matrix, dtype, 0, [&](Operands& o) {
    const View w = o.input(dtype, rows, columns), b = o.input(dtype, rows, r), magnitude = o.input(dtype, 1, rows),
               wa = o.input(DType::f32, rows, r), aa = o.input(DType::f32, r, r);
    auto* const scale = o.output(DType::f32, 1, rows).as<float>();
    auto* const inv_norm = o.output(DType::f32, 1, rows).as<float>();
    return [=, this] { kernels_->dora.row_scales(*stream_, w, b, magnitude, wa, aa, 1, scale, inv_norm); };
  });
  measure({"dora_scale_columns"}, batch, dtype, 0, [&](Operands& o) {
    const View x = o.input(dtype, s_.T, rows), y = o.output(dtype, s_.T, rows);
    const auto* const scale = o.input(DType::f32, 1, rows).as<float>();
    return [=, this] { kernels_->dora.scale_columns(*stream_, x, scale, {}, {}, y); };
  });
  measure({"dora_magnitude_backward"}, batch, dtype, 0, [&](Operands& o) {
    const View x = o.input(dtype, s_.T, rows), dy = o.input(dtype, s_.T, rows), d = o.updated(DType::f32, 1, rows);
    const auto* const inv_norm = o.input(DType::f32, 1, rows).as<float>();
    return [=, this] { kernels_->dora.magnitude_backward(*stream_, x, dy, inv_norm, d); };
  });
}

}  // namespace tessera::bench
