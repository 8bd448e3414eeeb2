#include "kernels/cpu/pack_factor.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

namespace tessera::test {
namespace {

/// Element (k, n) of the packed factor, by the words of the header.
uint16_t packed_element(const std::vector<uint16_t>& packed, int64_t K, int64_t block, int64_t k, int64_t n) {
  const int64_t rows = (K + 31) / 32 * 32, in_block = k / 2 * 2 * block + n % block * 2 + k % 2;
  return packed[static_cast<size_t>(n / block * rows * block + in_block)];
}

TEST_CASE("pack_factor puts every element in its place and zeros beside them", "[kernels][gemm]") {
  const auto transposed = GENERATE(false, true);
  const auto threads = GENERATE(1, 3);
  const auto block = GENERATE(8, 48, 64);
  for (const auto& [K, N] :
       {std::pair<int64_t, int64_t>{1, 1}, {2, 64}, {7, 9}, {8, 12}, {33, 65}, {64, 191}, {95, 130}, {31, 600}}) {
    INFO("K " << K << ", N " << N << ", transposed " << transposed << ", threads " << threads << ", block " << block);
    const int64_t rows = transposed ? N : K, cols = transposed ? K : N, stride = cols + 3;
    std::vector<uint16_t> from(static_cast<size_t>(rows * stride), 0xffff);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c)
        from[static_cast<size_t>(r * stride + c)] = static_cast<uint16_t>(r * 256 + c + 1);
    std::vector<uint16_t> packed(static_cast<size_t>(packed_bytes(K, N, block) / 2 + 1), 0xffff);
    pack_factor(threads, ConstView(from.data(), DType::bf16, rows, cols, stride), transposed, block, packed.data());
    REQUIRE(packed.back() == 0xffff);
    packed.pop_back();
    size_t zeros = packed.size();
    for (int64_t k = 0; k < K; ++k) {
      for (int64_t n = 0; n < N; ++n) {
        const int64_t r = transposed ? n : k, c = transposed ? k : n;
        REQUIRE(packed_element(packed, K, block, k, n) == static_cast<uint16_t>(r * 256 + c + 1));
        --zeros;
      }
    }
    REQUIRE(static_cast<size_t>(std::count(packed.begin(), packed.end(), 0)) == zeros);
  }
}

}  // namespace
}  // namespace tessera::test
