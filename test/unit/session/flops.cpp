#include "session/flops.h"

#include <catch2/catch.hpp>
#include <set>

namespace tessera::test {

TEST_CASE("the GEMM peak is that of large products, without the first of a size", "[trainer]") {
  constexpr double peak = 1e12, launch = 20e-6, compilation = 0.5;
  std::set<int64_t> seen;
  const double found = best_product_rate([&](int64_t size) {
    const double product = 2.0 * static_cast<double>(size * size * size) / peak;
    return launch + product + (seen.insert(size).second ? compilation : 0);
  });
  CHECK(found > 0.98 * peak);
  CHECK(found <= peak);
}

TEST_CASE("one disturbed product does not lower the GEMM peak", "[trainer]") {
  int calls = 0;
  const double found = best_product_rate(
      [&](int64_t size) { return 2.0 * static_cast<double>(size * size * size) / 1e11 * (++calls % 2 == 0 ? 10 : 1); });
  CHECK(found == Approx(1e11));
}

}  // namespace tessera::test
