#pragma once
#include "kernels/subject.h"

namespace tessera {

/// Which elements a dropout keeps: a function of these and of an element's column alone, so that it depends neither on
/// ranks nor on packing nor on how often it is computed.
struct Dropout {
  uint64_t key = 0;                    ///< of the seed and the module
  int64_t step = 0;                    ///< of training
  float rate = 0;                      ///< of the elements that are not kept, in [0, 1)
  const int32_t* samples = nullptr;    ///< [T] the sample that a token is of
  const int32_t* positions = nullptr;  ///< [T] and its place there
};

/// Dropout by a counter-based generator: Philox4x32-10 (Salmon et al. 2011) with key `key`, its lower half first, and
/// counter (block, position, sample, step).  Of the four words that a block gives, word k decides column
/// (block / 32) · 128 + 32 k + block % 32; it is kept where the word is at least
/// dropout_threshold(rate), ⌊rate · 2^32⌋.
class DropoutKernels : public KernelSubject {
 public:
  static constexpr int64_t group = 128;  ///< columns of neighbouring blocks

  /// y = (or +=) x / (1 - rate) where it is kept, else 0, rounded once.  x, y [T, columns]: compute type.  y may be x.
  void dropout(Stream& stream, const Dropout& dropout, ConstView x, View y, Write mode) {
    timed(stream, Phase::elementwise, "dropout", [&] { enqueue_dropout(stream, dropout, x, y, mode); });
  }

 private:
  virtual void enqueue_dropout(Stream&, const Dropout& dropout, ConstView x, View y, Write mode) = 0;
};

/// The smallest word that keeps an element.
inline uint32_t dropout_threshold(float rate) {
  return static_cast<uint32_t>(static_cast<double>(rate) * 4294967296.0);
}

}  // namespace tessera
