#include "base/amount.h"

#include <catch2/catch.hpp>

using namespace tessera;

TEST_CASE("An amount that int64 cannot hold is the largest there is", "[base]") {
  constexpr int64_t largest = std::numeric_limits<int64_t>::max();
  CHECK((Amount(int64_t{1} << 40) * (int64_t{1} << 40)).value() == largest);
  CHECK((Amount(largest) + 1).value() == largest);
  CHECK((Amount(largest) * 0).value() == 0);
  CHECK((Amount(6) * 7 + 1).value() == 43);
  CHECK(Amount(largest) * 2 > Amount(largest - 1));
}
