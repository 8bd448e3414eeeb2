#pragma once
#include <array>
#include <string>

#include "device/profiler.h"

namespace tessera {

using PhaseSeconds = std::array<double, static_cast<size_t>(Phase::count)>;

/// Where the time of `steps` updates went, which took `seconds` altogether on this rank: a line a phase.
std::string profile_table(const PhaseSeconds& phases, int64_t steps, double seconds);

}  // namespace tessera
