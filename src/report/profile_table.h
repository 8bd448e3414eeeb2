#pragma once
#include <array>
#include <string>

#include "device/profiler.h"

namespace tessera {

using PhaseSeconds = std::array<double, static_cast<size_t>(Phase::count)>;

/// Seconds per phase of `steps` updates, which took `seconds` in total on this rank: one line per phase.
std::string profile_table(const PhaseSeconds& phases, int64_t steps, double seconds);

}  // namespace tessera
