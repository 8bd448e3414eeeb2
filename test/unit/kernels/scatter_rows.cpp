#include <catch2/catch.hpp>

#include "support/kernel_test.h"

namespace tessera::test {

TEMPLATE_TEST_CASE("scatter_rows puts each row in its place and zeros everywhere else", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    constexpr int64_t T = 700;  // several pieces for three threads
    for (const auto& chosen : {std::vector<int32_t>{}, {0}, {699}, {1, 2, 350, 466, 467, 699}}) {
      for (const int64_t C : {1, 67}) {
        const auto S = static_cast<int64_t>(chosen.size());
        const Matrix x = Matrix::random(rig, dtype_of<TestType>(), S, C, 1, 3);
        const Matrix y = Matrix::random(rig, dtype_of<TestType>(), T, C, 2, 2);
        const Array<int32_t> rows(rig, chosen);
        rig.kernels->scatter_rows(*rig.stream, rows.data(), x, y);
        const auto from = x.bits(), to = y.bits();
        const auto width = static_cast<size_t>(C);
        for (size_t i = 0; i < to.size(); ++i) {
          const auto found = std::find(chosen.begin(), chosen.end(), static_cast<int32_t>(i / width));
          const auto row = static_cast<size_t>(found - chosen.begin());
          REQUIRE(to[i] == (found == chosen.end() ? 0 : from[row * width + i % width]));
        }
        REQUIRE(y.intact());
      }
    }
  });
}

}  // namespace tessera::test
