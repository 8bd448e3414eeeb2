#include <algorithm>
#include <cmath>
#include <numbers>

#include "model/spec.h"

/// Rotary frequencies as transformers' modeling_rope_utils computes them: default, linear (position interpolation, Chen
/// et al. 2023), llama3 (Meta's by-parts scaling), yarn (Peng et al. 2023) and longrope (Ding et al. 2024).
namespace tessera {
namespace {

std::vector<double> standard_frequencies(const RotarySpec& rotary) {
  std::vector<double> inv_freq(static_cast<size_t>(rotary.width / 2));
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const auto exponent = static_cast<float>(2 * i) / static_cast<float>(rotary.width);
    inv_freq[i] = 1.0f / static_cast<float>(std::pow(rotary.theta, static_cast<double>(exponent)));
  }
  return inv_freq;
}

/// Low frequencies are divided by the factor, high ones kept, those between blended.
double llama3_frequency(const RotarySpec& rope, double inv_freq) {
  const double wavelength = 2 * std::numbers::pi / inv_freq;
  const double context = rope.original_max_position_embeddings;
  if (wavelength < context / rope.high_freq_factor) return inv_freq;
  if (wavelength > context / rope.low_freq_factor) return inv_freq / rope.factor;
  const double smooth = (context / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - smooth) * inv_freq / rope.factor + smooth * inv_freq;
}

double yarn_mscale(double factor, double mscale) { return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1; }

double yarn_attention_factor(const RotarySpec& rope) {
  if (rope.attention_factor != 0) return rope.attention_factor;
  if (rope.mscale != 0 && rope.mscale_all_dim != 0)
    return yarn_mscale(rope.factor, rope.mscale) / yarn_mscale(rope.factor, rope.mscale_all_dim);
  return yarn_mscale(rope.factor, 1);
}

void apply_yarn(const RotarySpec& rope, std::vector<double>& inv_freq) {
  const auto dim = static_cast<double>(rope.width);
  const auto correction = [&](double rotations) {
    return dim * std::log(rope.original_max_position_embeddings / (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(rope.theta));
  };
  double low = correction(rope.beta_fast), high = correction(rope.beta_slow);
  if (rope.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    inv_freq[i] = inv_freq[i] / rope.factor * ramp + inv_freq[i] * (1 - ramp);
  }
}

/// In float32, as torch has it: the factor before the power.
void apply_longrope(const std::vector<double>& factors, double theta, std::vector<double>& inv_freq) {
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const auto exponent = static_cast<float>(2 * i) / static_cast<float>(2 * inv_freq.size());
    const auto power = static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
    inv_freq[i] = 1.0f / (static_cast<float>(factors[i]) * power);
  }
}

double longrope_attention_factor(const RotarySpec& rotary) {
  if (rotary.attention_factor != 0) return rotary.attention_factor;
  if (rotary.factor <= 1) return 1;
  return std::sqrt(1 + std::log(rotary.factor) / std::log(rotary.original_max_position_embeddings));
}

}  // namespace

RotaryFrequencies rotary_frequencies(const RotarySpec& rotary, bool long_documents) {
  std::vector<double> inv_freq = standard_frequencies(rotary);
  RotaryFrequencies result;
  switch (rotary.type) {
    case RopeType::standard:
      break;
    case RopeType::linear:
      for (double& f : inv_freq) f /= rotary.factor;
      break;
    case RopeType::llama3:
      for (double& f : inv_freq) f = llama3_frequency(rotary, f);
      break;
    case RopeType::yarn:
      apply_yarn(rotary, inv_freq);
      result.scale = static_cast<float>(yarn_attention_factor(rotary));
      break;
    case RopeType::longrope:
      apply_longrope(long_documents ? rotary.long_factor : rotary.short_factor, rotary.theta, inv_freq);
      result.scale = static_cast<float>(longrope_attention_factor(rotary));
      break;
  }
  result.inv_freq.assign(inv_freq.begin(), inv_freq.end());
  return result;
}

}  // namespace tessera
