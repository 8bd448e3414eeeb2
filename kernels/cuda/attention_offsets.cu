#include <algorithm>
#include <stdexcept>

#include "base/number.h"
#include "kernels/cuda/attention_offsets.h"
#include "kernels/cuda/launch.h"

namespace tessera::cuda {
namespace {

constexpr int threads = 128;
constexpr int most_strides = 9;  // as many as an AttentionDescription has tensors

struct Strides {
  int64_t values[most_strides];
  int32_t count;
};

__global__ void __launch_bounds__(threads)
    attention_offsets_kernel(const int32_t* cu_seqlens, int32_t N, int32_t documents, int32_t pitch, Strides strides,
                             int64_t* offsets, int32_t* lengths) {
  const int n = static_cast<int>(blockIdx.x) * threads + static_cast<int>(threadIdx.x);
  if (n > documents) return;
  const int64_t begin = cu_seqlens[min(n, N)];
  for (int i = 0; i < strides.count; ++i) offsets[int64_t{i} * pitch + n] = begin * strides.values[i];
  if (n < documents) lengths[n] = static_cast<int32_t>(cu_seqlens[min(n + 1, N)] - begin);
}

}  // namespace

void attention_offsets(cudaStream_t stream, const int32_t* cu_seqlens, int64_t N, int64_t documents,
                       const std::vector<int64_t>& strides, int64_t* offsets, int32_t* lengths) {
  if (strides.size() > most_strides || documents < N) throw std::logic_error("attention_offsets: too many of them");
  Strides by_value{};
  std::copy(strides.begin(), strides.end(), by_value.values);
  by_value.count = narrow<int32_t>(strides.size());
  launch({"attention_offsets", {blocks(ceil_div(documents + 1, threads)), 1, 1}, {threads, 1, 1}, 0, stream},
         attention_offsets_kernel, cu_seqlens, narrow<int32_t>(N), narrow<int32_t>(documents),
         narrow<int32_t>(attention_offsets_pitch(documents)), by_value, offsets, lengths);
}

}  // namespace tessera::cuda
