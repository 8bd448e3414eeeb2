// Rows of floats and bf16 as vectors of float lanes.  Included once for each of Highway's targets.
#if defined(TESSERA_KERNELS_CPU_VECTOR_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_KERNELS_CPU_VECTOR_INL_H
#undef TESSERA_KERNELS_CPU_VECTOR_INL_H
#else
#define TESSERA_KERNELS_CPU_VECTOR_INL_H
#endif

#include <cstring>

#include "device/view.h"
#include "kernels/cpu/processor.h"

// clang-format off: highway.h goes first
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using BitsTag = hn::RebindToUnsigned<FloatTag>;
using HalfBitsTag = hn::Rebind<uint16_t, FloatTag>;
using Floats = hn::Vec<FloatTag>;

HWY_INLINE int64_t lanes() { return static_cast<int64_t>(hn::Lanes(FloatTag())); }
HWY_INLINE Floats all(float value) { return hn::Set(FloatTag(), value); }

/// How much of a vector a load or store touches: all lanes, or, at the end of a row, the first few.
struct Whole {};
struct Part {
  int64_t lanes;
};

HWY_INLINE Floats load(const float* from, Whole) { return hn::LoadU(FloatTag(), from); }
HWY_INLINE Floats load(const bf16* from, Whole) {
  const auto bits = hn::LoadU(HalfBitsTag(), reinterpret_cast<const uint16_t*>(from));
  return hn::BitCast(FloatTag(), hn::ShiftLeft<16>(hn::PromoteTo(BitsTag(), bits)));
}

HWY_INLINE void store(Floats value, float* to, Whole) { hn::StoreU(value, FloatTag(), to); }

/// The bits of a number rounded to its upper half: to nearest, ties to even.
HWY_INLINE hn::Vec<BitsTag> round_bits(Floats value) {
  const auto bits = hn::BitCast(BitsTag(), value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(BitsTag(), 1));
  return hn::Add(hn::Add(bits, hn::Set(BitsTag(), 0x7fff)), odd);
}
HWY_INLINE void store_bits(hn::Vec<BitsTag> bits, bf16* to) {
  hn::StoreU(hn::TruncateTo(HalfBitsTag(), hn::ShiftRight<16>(bits)), HalfBitsTag(), reinterpret_cast<uint16_t*>(to));
}

/// Rounds as bf16's constructor does; NaN stays NaN, whatever its bits.
HWY_INLINE void store(Floats value, bf16* to, Whole) {
  const auto quiet = hn::Or(hn::BitCast(BitsTag(), value), hn::Set(BitsTag(), 0x400000));
  store_bits(hn::IfThenElse(hn::RebindMask(BitsTag(), hn::IsNaN(value)), quiet, round_bits(value)), to);
}

/// As store(), for results of arithmetic on bf16: a NaN among them has zeros in its lower half, as those have that
/// arithmetic makes or passes on from bf16, so that rounding leaves it one; and one below 2^-126 may become 0.
HWY_INLINE void store_result(Floats value, float* to, Whole whole) { store(value, to, whole); }
HWY_INLINE void store_result(Floats value, bf16* to, Whole) {
#if HWY_TARGET <= HWY_AVX3
  if (has_avx512_bf16) {  // no intrinsic: this function is compiled for every processor with AVX-512
    __m256i rounded;
    asm("vcvtneps2bf16 %1, %0" : "=v"(rounded) : "v"(value.raw));
    return _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), rounded);
  }
#endif
  store_bits(round_bits(value), to);
}

/// The lanes beyond the part are 0.
template <typename T>
HWY_INLINE Floats load(const T* from, Part part) {
  T row[hn::MaxLanes(FloatTag())] = {};
  std::memcpy(row, from, static_cast<size_t>(part.lanes) * sizeof(T));
  return load(row, Whole());
}
template <typename T>
HWY_INLINE void store(Floats value, T* to, Part part) {
  T row[hn::MaxLanes(FloatTag())];
  store(value, row, Whole());
  std::memcpy(to, row, static_cast<size_t>(part.lanes) * sizeof(T));
}
template <typename T>
HWY_INLINE void store_result(Floats value, T* to, Part part) {
  store(value, to, part);
}

/// `value` with `rest` in the lanes beyond the part.
HWY_INLINE Floats keep(Floats value, Floats /*rest*/, Whole) { return value; }
HWY_INLINE Floats keep(Floats value, Floats rest, Part part) {
  return hn::IfThenElse(hn::FirstN(FloatTag(), static_cast<size_t>(part.lanes)), value, rest);
}

/// body(i, span) for the vectors of a row of n: element i and those after it that the span says.
template <typename Body>
HWY_INLINE void for_each_vector(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + lanes() <= n; i += lanes()) body(i, Whole());
  if (i < n) body(i, Part{n - i});
}

/// Combines value(i, span) over a row of n lane by lane, in four chains so that their latencies overlap.  The lanes
/// beyond a part count too: value() makes them neutral.
template <typename Combine, typename Value>
HWY_INLINE Floats fold(int64_t n, Floats neutral, const Combine& combine, const Value& value) {
  const int64_t step = lanes();
  Floats a = neutral, b = neutral, c = neutral, d = neutral;
  int64_t i = 0;
  for (; i + 4 * step <= n; i += 4 * step) {
    a = combine(a, value(i, Whole()));
    b = combine(b, value(i + step, Whole()));
    c = combine(c, value(i + 2 * step, Whole()));
    d = combine(d, value(i + 3 * step, Whole()));
  }
  for (; i + step <= n; i += step) a = combine(a, value(i, Whole()));
  if (i < n) b = combine(b, value(i, Part{n - i}));
  return combine(combine(a, b), combine(c, d));
}

template <typename Value>
HWY_INLINE float sum_of(int64_t n, const Value& value) {
  const Floats sums = fold(
      n, all(0), [](Floats a, Floats b) { return hn::Add(a, b); }, value);
  return hn::GetLane(hn::SumOfLanes(FloatTag(), sums));
}

/// Added to x, it rounds x to an integer n = (x + to_exponent) - to_exponent, since the sum has no bits for fractions;
/// the 127 puts n + 127, the exponent of 2^n, into the sum's lowest bits.
constexpr float to_exponent = 0x1.8p23f + 127;
HWY_INLINE Floats power_of_two(Floats sum) {
  return hn::BitCast(FloatTag(), hn::ShiftLeft<23>(hn::BitCast(BitsTag(), sum)));
}
constexpr float log2_e = 1.44269504f;

/// e^x for x <= 0, to two units in the last place; 0 below -87.3, where fp32 has no normal number left; NaN stays NaN.
/// x = n ln 2 + r with |r| <= ln 2 / 2:  e^x = 2^n e^r,  e^r = 1 + r + r² q(r), q interpolated at the Chebyshev nodes.
HWY_INLINE Floats exp_of_negative(Floats x) {
  const Floats sum = hn::MulAdd(x, all(log2_e), all(to_exponent));
  const Floats n = hn::Sub(sum, all(to_exponent));
  const Floats r =
      hn::NegMulAdd(n, all(1.42860677e-06f), hn::NegMulAdd(n, all(0.693145751953125f), x));  // ln 2 in two parts
  const Floats rr = hn::Mul(r, r);
  const Floats lower = hn::MulAdd(r, all(0.166665763f), all(0.5f));
  const Floats upper = hn::MulAdd(r, all(0.00836323295f), all(0.0416665524f));
  const Floats q = hn::MulAdd(rr, hn::MulAdd(rr, all(0.00139262504f), upper), lower);
  const Floats value = hn::Mul(hn::Add(hn::MulAdd(rr, q, r), all(1)), power_of_two(sum));
  return hn::IfThenZeroElse(hn::Lt(x, all(-87.3f)), value);
}

/// 2^x for x <= 0, to a unit in the last place; 0 below -126, where fp32 has no normal number left; NaN stays NaN.
/// x = n + r with |r| <= 1/2:  2^x = 2^n 2^r,  2^r = 1 + r q(r), q interpolated at the Chebyshev nodes.
/// Cheaper than e^x where x is a product anyway, whose factor then takes log2_e in.  e^x = 2^(x·log2_e) loses what
/// rounding x·log2_e does: a part in ten million for |x| of 1, and |x| times that.
HWY_INLINE Floats exp2_of_negative(Floats x) {
  const Floats sum = hn::Add(x, all(to_exponent));
  const Floats r = hn::Sub(x, hn::Sub(sum, all(to_exponent)));
  Floats q = hn::MulAdd(r, all(0.000154531634f), all(0.00133908633f));
  q = hn::MulAdd(r, q, all(0.009618083f));
  q = hn::MulAdd(r, q, all(0.0555035695f));
  q = hn::MulAdd(r, q, all(0.240226507f));
  q = hn::MulAdd(r, q, all(0.693147182f));
  const Floats value = hn::Mul(hn::MulAdd(r, q, all(1)), power_of_two(sum));
  return hn::IfThenZeroElse(hn::Lt(x, all(-126)), value);
}

/// 1/x to two units in the last place, in a fraction of a division's time.
HWY_INLINE Floats reciprocal(Floats x) {
  const Floats near = hn::ApproximateReciprocal(x);
  return hn::Mul(near, hn::NegMulAdd(x, near, all(2)));  // Newton's step
}

/// tanh x to a few units in the last place; NaN stays NaN.
/// With e = e^-2|x|:  (1 - e) / (1 + e), which cancels near 0: there x + x³ p(x²), as in Moshier's Cephes, tanhf.c.
HWY_INLINE Floats tanh_of(Floats x) {
  const Floats magnitude = hn::Abs(x), square = hn::Mul(x, x);
  const Floats e = exp_of_negative(hn::Mul(magnitude, all(-2)));
  const Floats far = hn::CopySignToAbs(hn::Mul(hn::Sub(all(1), e), reciprocal(hn::Add(all(1), e))), x);
  Floats p = hn::MulAdd(square, all(-5.70498872745e-3f), all(2.06390887954e-2f));
  p = hn::MulAdd(square, p, all(-5.37397155531e-2f));
  p = hn::MulAdd(square, p, all(1.33314422036e-1f));
  p = hn::MulAdd(square, p, all(-3.33332819422e-1f));
  const Floats near = hn::MulAdd(hn::Mul(x, square), p, x);
  return hn::IfThenElse(hn::Lt(magnitude, all(0.625f)), near, far);
}

/// softcap · tanh(x / softcap).
HWY_INLINE Floats soft_capped(Floats x, float softcap) {
  return hn::Mul(all(softcap), tanh_of(hn::Mul(x, all(1 / softcap))));
}
/// Its derivative by its value, at least 0: of -infinity, which no value is, too.
HWY_INLINE Floats soft_cap_slope(Floats capped, float softcap) {
  const Floats tanh = hn::Mul(capped, all(1 / softcap));
  return hn::Max(hn::NegMulAdd(tanh, tanh, all(1)), all(0));
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
