#include "shard/memory.h"

#include <catch2/catch.hpp>
#include <limits>

#include "support/small_model.h"

using namespace tessera;
using namespace tessera::test;

TEST_CASE("A plan of more memory than can be counted is not less than one of less", "[shard]") {
  const auto total = [](int64_t tokens) {
    return plan_memory(DeviceKind::cpu, odd_model(true), with_moments({}, {}, tokens), 1).total();
  };
  int64_t before = 0;
  for (int64_t tokens = 64; tokens <= int64_t{1} << 60; tokens *= 16) {
    CHECK(total(tokens) > 0);
    CHECK(total(tokens) >= before);
    before = total(tokens);
  }
  CHECK(before == std::numeric_limits<int64_t>::max());
}
