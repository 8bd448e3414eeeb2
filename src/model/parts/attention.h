#pragma once
#include <string>
#include <vector>

#include "model/parts/linear.h"
#include "model/parts/norm.h"

namespace tessera {

/// Keys and values of the tokens so far, of each sequence b: rows 0 … length[b]-1 of k[b], v[b] [capacity, G·D];
/// length counts the new token.  For generation.
struct KeyValueCache {
  std::vector<View> k, v;
  std::vector<int64_t> length;
};

/// o(attention(rotate(norm(q)), rotate(norm(k)), v)), q, k and v being one product of the input.
class Attention {
 public:
  Attention(const AttentionSpec& spec, const std::string& prefix, const UnitSpec& unit, SlotList& slots);

  struct Heads {
    View q, k, v;
  };
  /// Views of what inputs() has made, as attention reads it.
  Heads heads(const LayerActivations& a) const;

  /// Queries, keys and values from x [T, C]: the part of the forward pass that `full` does again.
  void inputs(const Pass& pass, const LayerActivations& a, ConstView x) const;
  void attend(const Pass& pass, const LayerActivations& a) const;
  /// attend() for one new token of each sequence, which it adds to the cache.
  void attend_cached(const Pass& pass, const LayerActivations& a, const KeyValueCache& cache) const;
  /// y [T, C] = o(attended) + added.
  void output(const Pass& pass, const LayerActivations& a, ConstView added, View y) const;
  /// dx [T, C] = (or +=) the gradient of x from dy, that of output(); dy may be dx.
  void backward(const BackwardPass& pass, const LayerActivations& a, ConstView x, ConstView dy, View dx,
                Write mode) const;

  const AttentionSpec& spec() const { return spec_; }

 private:
  AttentionShape shape(const Documents& documents) const;
  bool has_norms() const { return static_cast<bool>(q_norm_); }
  const RotaryTable* table(const Documents& documents) const {  // null: positions turn nothing
    return spec_.rotary < 0 ? nullptr : &documents.rotary[static_cast<size_t>(spec_.rotary)];
  }
  int64_t q_columns() const { return spec_.H * spec_.D; }
  int64_t k_columns() const { return spec_.G * spec_.D; }

  AttentionSpec spec_;
  Linear qkv_, o_;
  Slot projected_, normed_;  // [T, (H+2G)·D]; q and k after their norm [T, (H+G)·D]
  Norm q_norm_, k_norm_;
  Slot attended_, log_sum_exp_;    // [T, H·D], [T, H]
  Slot d_attended_, d_projected_;  // their gradients
};

}  // namespace tessera
