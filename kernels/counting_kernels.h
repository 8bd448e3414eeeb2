#pragma once
#include <memory>

#include "kernels/kernels.h"

namespace tessera {

/// Kernels that compute nothing, for a CountingDevice.
std::unique_ptr<Kernels> make_counting_kernels();

}  // namespace tessera
