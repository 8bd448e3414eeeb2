#pragma once
#include <cstdint>

#include "device/dtype.h"

/// The element-wise parts of attention between two matrix products, vectorised.  All at once, on the calling thread.
///
/// A block is `queries` queries at positions first_query … of one document, of `heads` heads that share a key/value
/// head, times `keys` keys at positions first_key ….  Its matrices have a row (transposed: a column) for each query and
/// head, [query, head]; what `rows` has beyond them counts for nothing.
namespace tessera {

struct AttentionBlock {
  DType type;  // of the factors of the products: probabilities and their gradients are written in it
  int64_t heads, queries, rows, D, keys;
  int64_t first_query, first_key;
  int64_t window;  // 0: none
  float scale;
  float softcap;  // 0: none
};

/// One step of the online softmax over the keys of a block, for scores [rows, keys]:
/// probabilities = exp(s - max), s = scale·scores or their soft cap, 0 where a query does not see a key; row_max and
/// row_sum, per row, go on from the blocks before, and the sums of `output` [rows, D] are scaled to the new maximum.
/// scores is overwritten.  Milakov & Gimelshein 2018; Dao et al. 2022, algorithm 1, lines 10-12.
void online_softmax(const AttentionBlock& block, float* scores, void* probabilities, float* row_max, float* row_sum,
                    float* output);

/// For scores and d_probabilities [keys, rows], both transposed, with log_sum_exp and delta per row:
/// probabilities = exp(s - log_sum_exp), d_scores = probabilities · (d_probabilities - delta) · ds/dscores,
/// both [keys, rows], 0 where a query does not see a key.  scores is overwritten.  Dao 2023, algorithm 2, lines 11
/// and 14.
void softmax_backward(const AttentionBlock& block, float* scores, const float* d_probabilities,
                      const float* log_sum_exp, const float* delta, void* probabilities, void* d_scores);

/// to = from · factor, n elements.
void scale_row(const float* from, float factor, void* to, DType to_type, int64_t n);

/// Σ a·b over n elements of a compute type.
float dot_row(const void* a, const void* b, DType type, int64_t n);

/// One head of one new token against `length` keys and values of width D, `stride` elements apart:
/// out = softmax(scale · q·kᵀ, soft-capped) · v.  scores: length floats of scratch; sums: D floats of scratch.
struct OneQuery {
  DType type;
  int64_t D, length, k_stride, v_stride;
  float scale, softcap;
};
void attend_one(const OneQuery& query, const void* q, const void* k, const void* v, float* scores, float* sums,
                void* out);

}  // namespace tessera
