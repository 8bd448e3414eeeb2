#pragma once
#include <bit>
#include <cstdint>
#include <stdexcept>
#include <string_view>
#include <type_traits>

namespace tessera {

/// The upper half of an IEEE float: 8 exponent bits, 7 of mantissa.  Storage only; arithmetic is done in float.
struct bf16 {
  uint16_t bits = 0;

  bf16() = default;
  /// Round to nearest, ties to even; NaN stays NaN.
  explicit bf16(float value) {
    const auto u = std::bit_cast<uint32_t>(value);
    const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    bits = static_cast<uint16_t>(nan ? (u >> 16) | 0x40 : (u + 0x7fff + ((u >> 16) & 1)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};
static_assert(sizeof(bf16) == 2 && std::is_trivially_copyable_v<bf16>);

enum class DType : uint8_t { f32, bf16, i32, u8 };

template <typename T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<bf16>() {
  return DType::bf16;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::i32;
}

template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::u8;
}

constexpr int64_t size_of(DType dtype) { return dtype == DType::u8 ? 1 : dtype == DType::bf16 ? 2 : 4; }
constexpr std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "fp32";
    case DType::bf16:
      return "bf16";
    case DType::i32:
      return "int32";
    case DType::u8:
      return "uint8";
  }
  return "unknown";
}

/// Calls f with a value of the compute type: the one place where a dtype becomes a template argument.
template <typename F>
decltype(auto) with_compute_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::bf16:
      return f(bf16{});
    case DType::i32:
    case DType::u8:
      break;
  }
  throw std::logic_error("a compute type is fp32 or bf16");
}

}  // namespace tessera
