#include <stdexcept>
#include <utility>

#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/sort_tokens.h"

namespace tessera::cuda {
namespace {

// Runs of 512 tokens are sorted by a block each, and then merged, 16 of them at a time: one pass for 8192 tokens, two
// for 131072.  In both a thread only counts what comes before its own token, so that nothing depends on who is first.

constexpr int run_length = 512, ways = 16;

__global__ void __launch_bounds__(run_length) sort_runs_kernel(const int32_t* tokens, int32_t T, Occurrence* sorted) {
  __shared__ uint32_t keys[run_length];  // all different, in the order that is wanted
  const auto place = static_cast<int32_t>(threadIdx.x);
  const int32_t first = static_cast<int32_t>(blockIdx.x) * run_length, t = first + place;
  const int32_t token = t < T ? tokens[t] : 0;
  const uint32_t mine = t < T ? static_cast<uint32_t>(token) * run_length + threadIdx.x : UINT32_MAX;
  keys[place] = mine;
  __syncthreads();
  int32_t before = 0;
#pragma unroll 16
  for (const uint32_t key : keys) before += key < mine ? 1 : 0;
  if (t < T) sorted[first + before] = {token, t};
}

/// Groups of `ways` sorted runs of `length`, a power of two, become one each.
__global__ void __launch_bounds__(block_threads)
    merge_runs_kernel(const Occurrence* runs, int32_t T, int32_t length, Occurrence* merged) {
  const int32_t i = static_cast<int32_t>(blockIdx.x) * block_threads + static_cast<int32_t>(threadIdx.x);
  if (i >= T) return;
  const Occurrence mine = runs[i];
  const int32_t own = i / length, group = own / ways * ways;
  int32_t before[ways] = {};  // in each run of the group
  for (int32_t step = length; step > 0; step /= 2) {
    int32_t tokens[ways], last[ways];  // bisections that do not wait for each other
#pragma unroll
    for (int r = 0; r < ways; ++r) {
      last[r] = (group + r) * length + before[r] + step - 1;
      tokens[r] = runs[min(last[r], T - 1)].token;
    }
#pragma unroll
    for (int r = 0; r < ways; ++r) {
      const int32_t end = min((group + r + 1) * length, T);
      const int32_t below = mine.token + (group + r < own ? 1 : 0);  // equal tokens of earlier runs come before
      if (last[r] < end && tokens[r] < below) before[r] += step;
    }
  }
  int32_t place = group * length;
#pragma unroll
  for (int r = 0; r < ways; ++r) place += group + r == own ? i - own * length : before[r];
  merged[place] = mine;
}

}  // namespace

const Occurrence* sort_tokens(cudaStream_t stream, const int32_t* tokens, int64_t T, Occurrence* scratch) {
  if (T > int64_t{1} << 26) throw std::logic_error("sort_tokens: more tokens than any batch has");
  const auto count = narrow<int32_t>(T);
  Occurrence *sorted = scratch, *other = scratch + T;
  launch({"sort_tokens", dim3(blocks(ceil_div(T, run_length))), dim3(run_length), 0, stream}, sort_runs_kernel, tokens,
         count, sorted);
  for (int64_t length = run_length; length < T; length *= ways) {
    launch({"sort_tokens (merge)", dim3(blocks(ceil_div(T, block_threads))), dim3(block_threads), 0, stream},
           merge_runs_kernel, sorted, count, narrow<int32_t>(length), other);
    std::swap(sorted, other);
  }
  return sorted;
}

}  // namespace tessera::cuda
