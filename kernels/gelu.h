#pragma once

/// What both devices' Activation::gelu_tanh is computed from.
///
/// x·(1 + tanh(u/2))/2 = x·sigmoid(u) with u = x (linear + cubic·x²), linear = 2 √(2/π), cubic = 0.044715 linear.
/// sigmoid(u) of a large negative u is e^u, whose relative error is the absolute one of u: that takes u to more digits
/// than fp32 has.  So there are two floats of each constant.
namespace tessera {

constexpr double gelu_linear_exact = 1.5957691216057308, gelu_cubic_exact = 0.07135481627260025;

constexpr auto gelu_linear = static_cast<float>(gelu_linear_exact);
constexpr auto gelu_linear_rest = static_cast<float>(gelu_linear_exact - static_cast<double>(gelu_linear));
constexpr auto gelu_cubic = static_cast<float>(gelu_cubic_exact);
constexpr auto gelu_cubic_rest = static_cast<float>(gelu_cubic_exact - static_cast<double>(gelu_cubic));

/// Beyond it sigmoid(u) is 0 or 1, and x² need not be computed, which might overflow.
constexpr float gelu_saturates = 16;

}  // namespace tessera
