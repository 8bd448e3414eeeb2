#pragma once
#include <cuda_runtime.h>

#include <string>

namespace tessera::cuda {

/// Throws ClusterError "cuda: WHAT: what CUDA says" unless it says success.
void check(cudaError_t error, const std::string& what);

}  // namespace tessera::cuda
