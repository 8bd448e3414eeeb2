#pragma once
#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace tessera {

/// f(begin, end) over [0, n) on up to `threads` threads of OpenMP (the runtime that oneDNN uses too), in contiguous
/// pieces of at least `grain`; on the calling thread where one piece is enough.  f must not throw.
template <typename F>
void parallel_for(int threads, int64_t n, int64_t grain, const F& f) {
  const int64_t pieces = std::clamp<int64_t>(n / std::max<int64_t>(grain, 1), 1, threads);
  if (n <= 0) return;
  if (pieces == 1) {
    f(int64_t{0}, n);
    return;
  }
#pragma omp parallel num_threads(static_cast <int>(pieces))
  {
    const int64_t i = omp_get_thread_num(), count = omp_get_num_threads();
    f(n * i / count, n * (i + 1) / count);
  }
}

}  // namespace tessera
