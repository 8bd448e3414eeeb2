#pragma once

namespace tessera {

/// AVX-512's instructions for bf16, for which Highway has no names in the version that Debian 12 has.
inline const bool has_avx512_bf16 = __builtin_cpu_supports("avx512bf16");

}  // namespace tessera
