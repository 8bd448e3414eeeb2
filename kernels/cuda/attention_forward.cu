#include <stdexcept>

#include "kernels/cuda/attention_tiles.cuh"

namespace tessera::cuda {
namespace {

/// What a warp has found for its query: the largest score yet, and sums that are relative to it.
struct Found {
  float largest = -FLT_MAX, sum = 0;
  float out[lane_columns] = {};

  /// Makes room for scores up to `score`.
  __device__ void rise(float score) {
    const float higher = fmaxf(largest, score), factor = expf(largest - higher);
    largest = higher;
    sum *= factor;
    for (float& value : out) value *= factor;
  }
};

/// Dao et al. 2022 (FlashAttention), algorithm 1, a query a warp.  Shared: a tile, the queries, the weights of the
/// tile's rows for each warp.
template <typename T, bool capped>
__global__ void __launch_bounds__(attention_warps * 32)
    attention_forward_kernel(AttentionSizes s, Rows<const T> q, Rows<const T> k, Rows<const T> v, Rows<T> out,
                             float* log_sum_exp) {
  const auto [doc, first_query, warp, lane, i, head] = warp_place(s);
  if (first_query >= doc.length) return;
  const int pitch = tile_pitch(s.D);
  float* const tile = dynamic_shared<float>();
  float* const query = tile + (tile_rows + warp) * pitch;
  float* const weights = tile + (tile_rows + attention_warps) * pitch + warp * tile_rows;

  const int64_t key_column = static_cast<int64_t>(head / (s.H / s.G)) * s.D;
  const bool mine = i < doc.length;
  load_tile(q, doc.begin + i, mine ? 1 : 0, 1, static_cast<int64_t>(head) * s.D, s.D, query, lane, 32);

  Found found;
  const int end = min(first_query + attention_warps, doc.length);
  for (int first = first_key(first_query, s.window); first < end; first += tile_rows) {
    next_tile(k, doc.begin + first, end - first, key_column, s.D, tile);
    const int key = first + lane;
    const bool seen = mine && key <= i && key >= first_key(i, s.window);
    const float score = seen ? score_of<capped>(s, dot_rows(query, tile + lane * pitch, s.D)) : -INFINITY;
    found.rise(warp_max(score));
    const float weight = expf(score - found.largest);
    found.sum += warp_sum(weight);
    weights[lane] = weight;
    next_tile(v, doc.begin + first, end - first, key_column, s.D, tile);
    add_rows(weights, tile, s.D, lane, found.out);
  }
  if (!mine) return;
  const int64_t t = doc.begin + i;
  store_row(found.out, 1 / found.sum, s.D, lane, out[t] + static_cast<int64_t>(head) * s.D);
  if (lane == 0) log_sum_exp[t * s.H + head] = found.largest + logf(found.sum);
}

}  // namespace

AttentionSizes attention_sizes(const AttentionShape& shape) {
  if (shape.D > most_head_width) throw std::logic_error("attention: heads wider than 256");
  return {narrow<int32_t>(shape.H),
          narrow<int32_t>(shape.G),
          narrow<int32_t>(shape.D),
          narrow<int32_t>(shape.window),
          shape.scale,
          shape.softcap,
          shape.cu_seqlens_on_device,
          narrow<int32_t>(ceil_div(shape.longest_document(), attention_warps))};
}

dim3 attention_grid(const AttentionSizes& sizes, int64_t documents, int64_t heads) {
  return {blocks(documents * sizes.row_blocks), blocks(heads), 1};
}

void attention_forward(cudaStream_t stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                       View out, float* log_sum_exp) {
  const AttentionSizes sizes = attention_sizes(shape);
  const int floats = (tile_rows + attention_warps) * tile_pitch(sizes.D) + attention_warps * tile_rows;
  with_capping(shape, [&](auto capped) {
    with_compute_type(q.dtype, [&](auto type) {
      using T = decltype(type);
      launch({"attention_forward", attention_grid(sizes, shape.N, shape.H), dim3(attention_warps * 32),
              static_cast<size_t>(floats) * sizeof(float), stream},
             attention_forward_kernel<T, decltype(capped)::value>, sizes, rows_of<T>(q), rows_of<T>(k), rows_of<T>(v),
             rows_of<T>(out), log_sum_exp);
    });
  });
}

}  // namespace tessera::cuda
