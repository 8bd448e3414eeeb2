#include "session/round_trip.h"

#include <algorithm>
#include <cmath>

#include "base/number.h"
#include "device/device.h"

namespace tessera {

RoundTrip::RoundTrip()
    : device_(make_cpu_device(1)), kernels_(make_kernels(*device_)), stream_(device_->make_stream("round trip")) {}
RoundTrip::~RoundTrip() = default;

std::vector<float> RoundTrip::of(const TensorSpec& tensor, Storage storage, const std::vector<float>& elements) {
  std::vector<float> back(elements.size());
  const View to(back.data(), DType::f32, tensor.shape.front(), tensor.shape.back());
  if (storage == Storage::int8)
    int8(elements, to);
  else
    nf4(elements, storage == Storage::nf4_double, to);
  return back;
}

void RoundTrip::nf4(const std::vector<float>& elements, bool twice, View to) {
  const int64_t n = std::ssize(elements), blocks = ceil_div(n, nf4_block);
  std::vector<uint8_t> codes(static_cast<size_t>(ceil_div(n, 2))), absmax_codes(static_cast<size_t>(blocks));
  std::vector<float> absmax(static_cast<size_t>(blocks)), scales(static_cast<size_t>(ceil_div(blocks, absmax_block)));
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t at = block * nf4_block;
    absmax[static_cast<size_t>(block)] =
        quantize_nf4_block(elements.data() + at, std::min(nf4_block, n - at), codes.data() + at / 2);
  }
  float mean = 0;
  Nf4Matrix matrix{codes.data(), absmax.data()};
  if (twice) {
    quantize_absmax(absmax.data(), blocks, absmax_codes.data(), scales.data(), &mean);
    matrix = {codes.data(), scales.data(), absmax_codes.data(), &mean};
  }
  kernels_->quantization.dequantize_nf4(*stream_, matrix, to);
  stream_->synchronize();
}

void RoundTrip::int8(const std::vector<float>& elements, View to) {
  std::vector<int8_t> codes(elements.size());
  std::vector<float> absmax(static_cast<size_t>(to.rows));
  for (int64_t row = 0; row < to.rows; ++row) {
    const float* const x = elements.data() + row * to.cols;
    float& most = absmax[static_cast<size_t>(row)];
    for (int64_t i = 0; i < to.cols; ++i) most = std::max(most, std::abs(x[i]));
    quantize_int8(x, to.cols, most, codes.data() + row * to.cols);
  }
  kernels_->quantization.dequantize_int8(*stream_, {codes.data(), absmax.data()}, to);
  stream_->synchronize();
}

}  // namespace tessera
