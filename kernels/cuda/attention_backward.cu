#include "kernels/cuda/attention_tiles.cuh"

namespace tessera::cuda {
namespace {

// With s the score of a query and a key, scale q·k or its soft cap, p = e^(s - log_sum_exp) and delta = Σ dout·out of a
// query, ds the gradient of scale q·k, slope 1 without a cap:
//   dv = Σ p·dout     ds = p (dout·v - delta) slope     dq = scale Σ ds·k     dk = scale Σ ds·q
// (Dao 2023, FlashAttention-2, algorithm 2).  One kernel sums over the keys of a query and one over the queries of a
// key, each in a fixed order; p is made twice, so that nothing has to be added by several blocks.

/// delta[t, h], a warp for each.
template <typename T>
__global__ void __launch_bounds__(block_threads)
    delta_kernel(Rows<const T> out, Rows<const T> dout, int64_t T_H, int H, int D, float* delta) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * block_threads + threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (i >= T_H) return;
  const T* const a = out[i / H] + i % H * D;
  const T* const b = dout[i / H] + i % H * D;
  float sum = 0;
  for (int d = lane; d < D; d += 32) sum += to_float(a[d]) * to_float(b[d]);
  sum = warp_sum(sum);
  if (lane == 0) delta[i] = sum;
}

/// dq, a query a warp.  Shared: a tile, the queries, their dout, the weights of the tile's rows for each warp.
template <typename T, bool capped>
__global__ void __launch_bounds__(attention_warps * 32)
    queries_kernel(AttentionSizes s, Rows<const T> q, Rows<const T> k, Rows<const T> v, const float* log_sum_exp,
                   const float* delta, Rows<const T> dout, Rows<T> dq) {
  const auto [doc, first_query, warp, lane, i, head] = warp_place(s);
  if (first_query >= doc.length) return;
  const int pitch = tile_pitch(s.D);
  float* const tile = dynamic_shared<float>();
  float* const query = tile + (tile_rows + 2 * warp) * pitch;
  float* const query_dout = query + pitch;
  float* const weights = tile + (tile_rows + 2 * attention_warps) * pitch + warp * tile_rows;

  const int64_t column = static_cast<int64_t>(head) * s.D, key_column = static_cast<int64_t>(head / (s.H / s.G)) * s.D;
  const int64_t t = doc.begin + i;
  const bool mine = i < doc.length;
  load_tile(q, t, mine ? 1 : 0, 1, column, s.D, query, lane, 32);
  load_tile(dout, t, mine ? 1 : 0, 1, column, s.D, query_dout, lane, 32);
  const float my_log_sum_exp = mine ? log_sum_exp[t * s.H + head] : 0, my_delta = mine ? delta[t * s.H + head] : 0;

  float sums[lane_columns] = {};
  const int end = min(first_query + attention_warps, doc.length);
  for (int first = first_key(first_query, s.window); first < end; first += tile_rows) {
    next_tile(v, doc.begin + first, end - first, key_column, s.D, tile);
    const float dp = dot_rows(query_dout, tile + lane * pitch, s.D);
    next_tile(k, doc.begin + first, end - first, key_column, s.D, tile);
    const int key = first + lane;
    const bool seen = mine && key <= i && key >= first_key(i, s.window);
    float ds = 0;
    if (seen) {
      const float score = score_of<capped>(s, dot_rows(query, tile + lane * pitch, s.D));
      ds = expf(score - my_log_sum_exp) * (dp - my_delta) * score_slope<capped>(s, score);
    }
    weights[lane] = ds;
    __syncwarp();
    add_rows(weights, tile, s.D, lane, sums);
  }
  if (mine) store_row(sums, s.scale, s.D, lane, dq[t] + column);
}

/// dk and dv, a key a warp, over the queries of all heads that share it.  Shared: a tile, the keys, their values, and
/// two sets of weights for each warp.
template <typename T, bool capped>
__global__ void __launch_bounds__(attention_warps * 32)
    keys_kernel(AttentionSizes s, Rows<const T> q, Rows<const T> k, Rows<const T> v, const float* log_sum_exp,
                const float* delta, Rows<const T> dout, Rows<T> dk, Rows<T> dv) {
  const auto [doc, first_of_block, warp, lane, j, key_head] = warp_place(s);
  if (first_of_block >= doc.length) return;
  const int pitch = tile_pitch(s.D);
  float* const tile = dynamic_shared<float>();
  float* const key = tile + (tile_rows + 2 * warp) * pitch;
  float* const value = key + pitch;
  float* const p_weights = tile + (tile_rows + 2 * attention_warps) * pitch + 2 * warp * tile_rows;
  float* const ds_weights = p_weights + tile_rows;

  const int64_t key_column = static_cast<int64_t>(key_head) * s.D;
  const int heads = s.H / s.G;
  const bool mine = j < doc.length;
  load_tile(k, doc.begin + j, mine ? 1 : 0, 1, key_column, s.D, key, lane, 32);
  load_tile(v, doc.begin + j, mine ? 1 : 0, 1, key_column, s.D, value, lane, 32);

  float dk_sums[lane_columns] = {}, dv_sums[lane_columns] = {};
  const int last_key = min(first_of_block + attention_warps, doc.length) - 1;
  const int end = s.window > 0 ? min(last_key + s.window, doc.length) : doc.length;
  for (int head = key_head * heads; head < (key_head + 1) * heads; ++head) {
    const int64_t column = static_cast<int64_t>(head) * s.D;
    for (int first = first_of_block; first < end; first += tile_rows) {
      const int i = first + lane;
      const bool seen = mine && i < end && j <= i && j >= first_key(i, s.window);
      const int64_t at = (doc.begin + i) * s.H + head;
      next_tile(q, doc.begin + first, end - first, column, s.D, tile);
      float p = 0, slope = 0;
      if (seen) {
        const float score = score_of<capped>(s, dot_rows(key, tile + lane * pitch, s.D));
        p = expf(score - log_sum_exp[at]);
        slope = score_slope<capped>(s, score);
      }
      next_tile(dout, doc.begin + first, end - first, column, s.D, tile);
      const float dp = dot_rows(value, tile + lane * pitch, s.D);
      p_weights[lane] = p;
      ds_weights[lane] = seen ? p * (dp - delta[at]) * slope : 0;
      __syncwarp();
      add_rows(p_weights, tile, s.D, lane, dv_sums);
      next_tile(q, doc.begin + first, end - first, column, s.D, tile);
      add_rows(ds_weights, tile, s.D, lane, dk_sums);
    }
  }
  if (!mine) return;
  store_row(dk_sums, s.scale, s.D, lane, dk[doc.begin + j] + key_column);
  store_row(dv_sums, 1, s.D, lane, dv[doc.begin + j] + key_column);
}

}  // namespace

int64_t attention_backward_scratch_bytes(int64_t T, int64_t H) { return T * H * int64_t{sizeof(float)}; }

void attention_backward(cudaStream_t stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                        ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk, View dv,
                        void* scratch) {
  const AttentionSizes sizes = attention_sizes(shape);
  const dim3 threads(attention_warps * 32);
  const auto shared_bytes = [&](int weights) {
    const int rows = tile_rows + 2 * attention_warps;
    return static_cast<size_t>(rows * tile_pitch(sizes.D) + weights * attention_warps * tile_rows) * sizeof(float);
  };
  auto* const delta = static_cast<float*>(scratch);
  const int64_t T_H = q.rows * shape.H;
  with_compute_type(q.dtype, [&](auto type) {
    using T = decltype(type);
    const auto q_rows = rows_of<T>(q), k_rows = rows_of<T>(k), v_rows = rows_of<T>(v), dout_rows = rows_of<T>(dout);
    launch({"attention_delta", dim3(blocks(ceil_div(T_H * 32, block_threads))), dim3(block_threads), 0, stream},
           delta_kernel<T>, rows_of<T>(out), dout_rows, T_H, sizes.H, sizes.D, delta);
    with_capping(shape, [&](auto is_capped) {
      constexpr bool capped = decltype(is_capped)::value;
      launch(
          {"attention_backward (queries)", attention_grid(sizes, shape.N, shape.H), threads, shared_bytes(1), stream},
          queries_kernel<T, capped>, sizes, q_rows, k_rows, v_rows, log_sum_exp, delta, dout_rows, rows_of<T>(dq));
      launch({"attention_backward (keys)", attention_grid(sizes, shape.N, shape.G), threads, shared_bytes(2), stream},
             keys_kernel<T, capped>, sizes, q_rows, k_rows, v_rows, log_sum_exp, delta, dout_rows, rows_of<T>(dk),
             rows_of<T>(dv));
    });
  });
}

}  // namespace tessera::cuda
