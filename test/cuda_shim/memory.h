#pragma once
#include <cstddef>

/// Memory as kernels see it: between guard zones, filled with NaNs, and aligned no better than promised.
namespace cuda_shim {

constexpr unsigned char untouched = 0xff;  ///< every byte of new memory: NaN as fp32, bf16 and double

/// Aligned to 256 bytes, as cudaMalloc promises, and to no more.  Accesses outside are found at once by
/// AddressSanitizer; without it a write shows at the next check, and a read gives NaNs.
void* allocate(size_t bytes);
void release(void* memory) noexcept;

/// Throws Fault where the guard zones of any live piece were written to, and mends them.
void check_guard_zones();

}  // namespace cuda_shim
