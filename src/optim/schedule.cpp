#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tessera {
namespace {

double cosine(double progress, double num_cycles, double floor) {
  const double wave = 0.5 * (1 + std::cos(std::numbers::pi * num_cycles * 2 * progress));
  return std::max(0.0, wave * (1 - floor) + floor);
}

/// transformers' get_wsd_schedule with a linear warm-up and a cosine decay.
double warmup_stable_decay(const TrainSettings& s, double t, double W, double T) {
  const auto decay = static_cast<double>(s.num_decay_steps);
  const double stable = s.num_stable_steps > 0 ? static_cast<double>(s.num_stable_steps) : T - W - decay;
  if (t < W) return t / std::max(1.0, W) * (1 - s.min_lr_rate) + s.min_lr_rate;
  if (t < W + stable) return 1;
  if (t < W + stable + decay) return cosine((t - W - stable) / std::max(1.0, decay), s.num_cycles, s.min_lr_rate);
  return s.min_lr_rate;
}

/// f of the class comment; t = k - 1, W warm-up steps, T all steps.
double factor(const TrainSettings& s, double t, double W, double T) {
  if (s.lr_scheduler == Scheduler::constant) return 1;
  if (s.lr_scheduler == Scheduler::warmup_stable_decay) return warmup_stable_decay(s, t, W, T);
  if (t < W) return t / std::max(1.0, W);
  const double progress = (t - W) / std::max(1.0, T - W);
  switch (s.lr_scheduler) {
    case Scheduler::linear:
      return std::max(0.0, (T - t) / std::max(1.0, T - W));
    case Scheduler::cosine:
      return cosine(progress, s.num_cycles, 0);
    case Scheduler::cosine_with_min_lr:
      return cosine(progress, s.num_cycles, s.min_lr_rate);
    case Scheduler::inverse_sqrt: {
      const double timescale = s.inverse_sqrt_timescale > 0 ? static_cast<double>(s.inverse_sqrt_timescale)
                               : W > 0                      ? W
                                                            : 10000;
      return 1 / std::sqrt((t + timescale - W) / timescale);
    }
    case Scheduler::constant:
    case Scheduler::constant_with_warmup:
    case Scheduler::warmup_stable_decay:
      break;
  }
  return 1;
}

}  // namespace

int64_t warmup_steps(const TrainSettings& settings, int64_t total_steps) {
  if (settings.warmup_steps > 0) return settings.warmup_steps;
  return static_cast<int64_t>(std::ceil(settings.warmup_ratio * static_cast<double>(total_steps)));
}

double learning_rate_at(const TrainSettings& settings, int64_t k, int64_t total_steps) {
  return settings.learning_rate * factor(settings, static_cast<double>(k - 1),
                                         static_cast<double>(warmup_steps(settings, total_steps)),
                                         static_cast<double>(total_steps));
}

}  // namespace tessera
