#include "kernels/cuda/attention_tiles.cuh"

namespace tessera::cuda {
namespace {

constexpr int most_sequences = 32;  // of one launch: their places travel with it

struct Caches {
  const void *k[most_sequences], *v[most_sequences];
  int64_t k_stride[most_sequences], v_stride[most_sequences], length[most_sequences];
};

/// A block for each sequence and head.  Each warp goes through every eighth key that is seen, a lane having every 32nd
/// column; then the warps' sums are added in their order.
template <typename T, bool capped>
__global__ void __launch_bounds__(attention_warps * 32)
    attention_decode_kernel(AttentionSizes s, Caches caches, Rows<const T> q, Rows<T> out) {
  __shared__ float largest[attention_warps], sums[attention_warps], outs[attention_warps][most_head_width];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const auto sequence = static_cast<int>(blockIdx.x), head = static_cast<int>(blockIdx.y);
  const int64_t key_column = static_cast<int64_t>(head / (s.H / s.G)) * s.D;
  const T* const query = q[sequence] + static_cast<int64_t>(head) * s.D;
  const Rows<const T> k{static_cast<const T*>(caches.k[sequence]) + key_column, caches.k_stride[sequence]};
  const Rows<const T> v{static_cast<const T*>(caches.v[sequence]) + key_column, caches.v_stride[sequence]};
  const int64_t length = caches.length[sequence];
  const int64_t first = s.window > 0 ? max(length - s.window, int64_t{0}) : 0;

  float my_query[lane_columns], found[lane_columns] = {}, my_largest = -FLT_MAX, sum = 0;
  for (int c = 0; c < lane_columns; ++c) my_query[c] = lane + 32 * c < s.D ? to_float(query[lane + 32 * c]) : 0;
  for (int64_t key = first + warp; key < length; key += attention_warps) {
    float dot = 0;
    for (int c = 0; c < lane_columns; ++c)
      if (lane + 32 * c < s.D) dot += my_query[c] * to_float(k[key][lane + 32 * c]);
    const float score = score_of<capped>(s, warp_sum(dot)), higher = fmaxf(my_largest, score);
    const float factor = expf(my_largest - higher), weight = expf(score - higher);
    my_largest = higher;
    sum = sum * factor + weight;
    for (int c = 0; c < lane_columns; ++c)
      if (lane + 32 * c < s.D) found[c] = found[c] * factor + weight * to_float(v[key][lane + 32 * c]);
  }
  if (lane == 0) largest[warp] = my_largest, sums[warp] = sum;
  for (int c = 0; c < lane_columns; ++c) outs[warp][lane + 32 * c] = found[c];
  __syncthreads();

  float highest = -FLT_MAX, total = 0;
  for (const float each : largest) highest = fmaxf(highest, each);
  for (int w = 0; w < attention_warps; ++w) total += sums[w] * expf(largest[w] - highest);
  for (int d = static_cast<int>(threadIdx.x); d < s.D; d += attention_warps * 32) {
    float value = 0;
    for (int w = 0; w < attention_warps; ++w) value += outs[w][d] * expf(largest[w] - highest);
    from_float(value / total, out[sequence] + static_cast<int64_t>(head) * s.D + d);
  }
}

Caches caches_of(const View* k_cache, const View* v_cache, const int64_t* length, int64_t count) {
  Caches caches{};
  for (int64_t b = 0; b < count; ++b) {
    caches.k[b] = k_cache[b].data, caches.v[b] = v_cache[b].data;
    caches.k_stride[b] = k_cache[b].row_stride, caches.v_stride[b] = v_cache[b].row_stride;
    caches.length[b] = length[b];
  }
  return caches;
}

}  // namespace

void attention_decode(cudaStream_t stream, const AttentionShape& shape, ConstView q, const View* k_cache,
                      const View* v_cache, const int64_t* length, View out) {
  AttentionShape no_documents = shape;
  no_documents.N = 0;
  const AttentionSizes sizes = attention_sizes(no_documents);
  with_capping(shape, [&](auto capped) {
    with_compute_type(q.dtype, [&](auto type) {
      using T = decltype(type);
      for (int64_t b = 0; b < q.rows; b += most_sequences) {
        const int64_t count = std::min<int64_t>(q.rows - b, most_sequences);
        launch({"attention_decode", dim3(blocks(count), blocks(shape.H)), dim3(attention_warps * 32), 0, stream},
               attention_decode_kernel<T, decltype(capped)::value>, sizes,
               caches_of(k_cache + b, v_cache + b, length + b, count), rows_of<T>(q.rows_from(b, count)),
               rows_of<T>(out.rows_from(b, count)));
      }
    });
  });
}

}  // namespace tessera::cuda
