#include <cstring>

#include "device/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

namespace tessera {

void CpuKernels::scatter_rows(Stream& stream, const int32_t* rows, ConstView x, View y) {
  stream.enqueue([=, threads = threads_] {
    const auto row_bytes = static_cast<size_t>(y.cols * size_of(y.dtype));
    parallel_for(threads, y.rows, 256, [&](int64_t begin, int64_t end) {
      const int32_t* next = std::lower_bound(rows, rows + x.rows, static_cast<int32_t>(begin));
      for (int64_t t = begin; t < end; ++t) {
        void* to = y.rows_from(t, 1).data;
        if (next != rows + x.rows && *next == t)
          std::memcpy(to, x.rows_from(next++ - rows, 1).data, row_bytes);
        else
          std::memset(to, 0, row_bytes);
      }
    });
  });
}

}  // namespace tessera
