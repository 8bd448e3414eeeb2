#include "kernels/cpu/attention_softmax.h"

// clang-format off: Highway reads this file once for each target, and its headers in this order
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_softmax.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

#include <algorithm>
#include <cmath>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

/// The part [begin, end) of a row that is seen, and the whole vectors [vector_begin, vector_end) around it.
struct Seen {
  Seen(int64_t from, int64_t to, int64_t n) {
    begin = std::clamp<int64_t>(from, 0, n);
    end = std::clamp<int64_t>(to, begin, n);
    vector_begin = begin / lanes() * lanes();
    vector_end = end == begin ? vector_begin : (end + lanes() - 1) / lanes() * lanes();
  }
  /// Makes exp of the scores beside the seen ones 0, so that only whole vectors are needed from here on.
  void hide_the_rest(float* scores) const {
    std::fill(scores + vector_begin, scores + std::min(begin, vector_end), minus_infinity);
    std::fill(scores + end, scores + vector_end, minus_infinity);
  }
  int64_t begin, end, vector_begin, vector_end;
};

template <typename T>
void fill_zero_outside(const Seen& seen, T* row, int64_t n) {
  std::fill(row, row + seen.vector_begin, T());
  std::fill(row + seen.vector_end, row + n, T());
}

/// s = softcap · tanh(scale·score / softcap) in the place of n scores.
HWY_INLINE void cap_scores(float* scores, int64_t n, float scale, float softcap) {
  for_each_vector(n, [&](int64_t i, auto span) {
    store(soft_capped(hn::Mul(load(scores + i, span), all(scale)), softcap), scores + i, span);
  });
}

/// The seen scores of a row, and those beside them that are hidden later.
HWY_INLINE void cap_seen(const Seen& seen, float* scores, const AttentionBlock& b) {
  cap_scores(scores + seen.vector_begin, seen.vector_end - seen.vector_begin, b.scale, b.softcap);
}

/// One query of online_softmax, for scores to be scaled.
template <typename T>
void online_softmax_row(const Seen& seen, int64_t keys, int64_t D, float scale, float* scores, T* probabilities,
                        float& row_max, float& row_sum, float* output) {
  fill_zero_outside(seen, probabilities, keys);
  if (seen.begin == seen.end) return;
  seen.hide_the_rest(scores);
  const int64_t n = seen.vector_end - seen.vector_begin;
  scores += seen.vector_begin;
  probabilities += seen.vector_begin;

  const Floats maxima = fold(
      n, all(minus_infinity), [](Floats a, Floats b) { return hn::Max(a, b); },
      [&](int64_t i, auto span) { return load(scores + i, span); });
  const float max = std::max(row_max, hn::GetLane(hn::MaxOfLanes(FloatTag(), maxima)) * scale);
  const float shrink = std::exp(row_max - max);  // 0 at the first block
  // _2: as exponents of 2
  const Floats scale_2 = all(scale * log2_e), max_2 = all(max * log2_e);
  const float sum = sum_of(n, [&](int64_t i, auto span) {
    const Floats probability = exp2_of_negative(hn::MulSub(load(scores + i, span), scale_2, max_2));
    store_result(probability, probabilities + i, span);
    return probability;
  });
  row_sum = row_sum * shrink + sum;
  if (output != nullptr && row_max != max) {
    for_each_vector(
        D, [&](int64_t i, auto span) { store(hn::Mul(load(output + i, span), all(shrink)), output + i, span); });
  }
  row_max = max;
}

void online_softmax_block(const AttentionBlock& b, float* scores, void* probabilities, float* row_max, float* row_sum,
                          float* output) {
  with_compute_type(b.type, [&](auto type) {
    using T = decltype(type);
    for (int64_t row = 0; row < b.rows; ++row) {
      const int64_t position = b.first_query + row / b.heads - b.first_key;
      const Seen seen(b.window > 0 ? position - b.window + 1 : 0, position + 1, b.keys);
      float scale = b.scale;
      if (b.softcap > 0) {
        cap_seen(seen, scores + row * b.keys, b);
        scale = 1;
      }
      online_softmax_row(seen, b.keys, b.D, scale, scores + row * b.keys, static_cast<T*>(probabilities) + row * b.keys,
                         row_max[row], row_sum[row], output == nullptr ? nullptr : output + row * b.D);
    }
  });
}

/// The slope ds/dscore of scaled scores, and of capped ones, by s.
struct ScaleAlone {
  float scale;
  HWY_INLINE Floats slope(Floats /*s*/) const { return all(scale); }
};
struct ScaleAndCap {
  float scale, softcap;
  HWY_INLINE Floats slope(Floats s) const { return hn::Mul(all(scale), soft_cap_slope(s, softcap)); }
};

/// One key of softmax_backward, for scores to be scaled.
template <typename T, typename Slope>
void softmax_backward_row(const Seen& seen, int64_t rows, float scale, const Slope& slope, float* scores,
                          const float* d_probabilities, const float* log_sum_exp, const float* delta, T* probabilities,
                          T* d_scores) {
  fill_zero_outside(seen, probabilities, rows);
  fill_zero_outside(seen, d_scores, rows);
  if (seen.begin == seen.end) return;
  seen.hide_the_rest(scores);
  const FloatTag df;
  const Floats scale_2 = all(scale * log2_e);  // _2: as exponents of 2
  for (int64_t i = seen.vector_begin; i < seen.vector_end; i += lanes()) {
    const Floats log_sum_exp_2 = hn::Mul(hn::LoadU(df, log_sum_exp + i), all(log2_e));
    const Floats score = hn::LoadU(df, scores + i);
    const Floats probability = exp2_of_negative(hn::MulSub(score, scale_2, log_sum_exp_2));
    const Floats difference = hn::Sub(hn::LoadU(df, d_probabilities + i), hn::LoadU(df, delta + i));
    store_result(probability, probabilities + i, Whole());
    store_result(hn::Mul(hn::Mul(probability, difference), slope.slope(score)), d_scores + i, Whole());
  }
}

void softmax_backward_block(const AttentionBlock& b, float* scores, const float* d_probabilities,
                            const float* log_sum_exp, const float* delta, void* probabilities, void* d_scores) {
  with_compute_type(b.type, [&](auto type) {
    using T = decltype(type);
    for (int64_t key = 0; key < b.keys; ++key) {
      const int64_t first = b.first_key + key - b.first_query;  // the query at the key's own position
      const int64_t last = b.window > 0 ? std::min(first + b.window, b.queries) : b.queries;
      const Seen seen(first * b.heads, last * b.heads, b.rows);
      const int64_t at = key * b.rows;
      const auto run = [&](float scale, const auto& slope) {
        softmax_backward_row(seen, b.rows, scale, slope, scores + at, d_probabilities + at, log_sum_exp, delta,
                             static_cast<T*>(probabilities) + at, static_cast<T*>(d_scores) + at);
      };
      if (b.softcap > 0) {
        cap_seen(seen, scores + at, b);
        run(1, ScaleAndCap{b.scale, b.softcap});
      } else {
        run(b.scale, ScaleAlone{b.scale});
      }
    }
  });
}

void scale_elements(const float* from, float factor, void* to, DType to_type, int64_t n) {
  with_compute_type(to_type, [&](auto type) {
    auto* elements = static_cast<decltype(type)*>(to);
    for_each_vector(
        n, [&](int64_t i, auto span) { store(hn::Mul(load(from + i, span), all(factor)), elements + i, span); });
  });
}

template <typename T>
float dot(const T* a, const T* b, int64_t n) {
  return sum_of(n, [&](int64_t i, auto span) { return hn::Mul(load(a + i, span), load(b + i, span)); });
}

float dot_elements(const void* a, const void* b, DType type, int64_t n) {
  return with_compute_type(type, [&](auto element) {
    using T = decltype(element);
    return dot(static_cast<const T*>(a), static_cast<const T*>(b), n);
  });
}

void attend_one_token(OneQuery one, const void* q_data, const void* k_data, const void* v_data, float* scores,
                      float* sums, void* out) {
  const int64_t D = one.D;
  with_compute_type(one.type, [&](auto element) {
    using T = decltype(element);
    const auto *q = static_cast<const T*>(q_data), *k = static_cast<const T*>(k_data),
               *v = static_cast<const T*>(v_data);
    for (int64_t t = 0; t < one.length; ++t) scores[t] = dot(q, k + t * one.k_stride, D);
    if (one.softcap > 0)
      cap_scores(scores, one.length, one.scale, one.softcap);
    else
      for (int64_t t = 0; t < one.length; ++t) scores[t] *= one.scale;
    const float max = *std::max_element(scores, scores + one.length);
    float sum = 0;
    std::fill(sums, sums + D, 0.0f);
    for (int64_t t = 0; t < one.length; ++t) {
      const float probability = std::exp(scores[t] - max);
      sum += probability;
      for_each_vector(D, [&](int64_t i, auto span) {
        store(hn::MulAdd(load(v + t * one.v_stride + i, span), all(probability), load(sums + i, span)), sums + i, span);
      });
    }
    scale_elements(sums, 1 / sum, out, one.type, D);
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(online_softmax_block);
HWY_EXPORT(softmax_backward_block);
HWY_EXPORT(scale_elements);
HWY_EXPORT(dot_elements);
HWY_EXPORT(attend_one_token);

void online_softmax(const AttentionBlock& block, float* scores, void* probabilities, float* row_max, float* row_sum,
                    float* output) {
  HWY_DYNAMIC_DISPATCH(online_softmax_block)(block, scores, probabilities, row_max, row_sum, output);
}

void softmax_backward(const AttentionBlock& block, float* scores, const float* d_probabilities,
                      const float* log_sum_exp, const float* delta, void* probabilities, void* d_scores) {
  HWY_DYNAMIC_DISPATCH(softmax_backward_block)
  (block, scores, d_probabilities, log_sum_exp, delta, probabilities, d_scores);
}

void scale_row(const float* from, float factor, void* to, DType to_type, int64_t n) {
  HWY_DYNAMIC_DISPATCH(scale_elements)(from, factor, to, to_type, n);
}

float dot_row(const void* a, const void* b, DType type, int64_t n) {
  return HWY_DYNAMIC_DISPATCH(dot_elements)(a, b, type, n);
}

void attend_one(const OneQuery& query, const void* q, const void* k, const void* v, float* scores, float* sums,
                void* out) {
  HWY_DYNAMIC_DISPATCH(attend_one_token)(query, q, k, v, scores, sums, out);
}

}  // namespace tessera
#endif
