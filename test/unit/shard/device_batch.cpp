#include "shard/device_batch.h"

#include <catch2/catch.hpp>

#include "support/small_model.h"

using namespace tessera;

TEST_CASE("A GPU's documents are sorted by length, each with all that belongs to it", "[shard]") {
  const Batch batch = test::random_batch(50, {3, 7, 3, 1, 9}, 5);
  const Batch sorted = sorted_by_length(batch);
  CHECK(sorted.cu_seqlens == std::vector<int32_t>{0, 9, 16, 19, 22, 23});
  CHECK(sorted.supervised == batch.supervised);
  CHECK(sorted.samples == batch.samples);
  const std::vector<int> begins = {14, 3, 0, 10, 13};  // of the same documents before
  for (size_t n = 0; n < begins.size(); ++n)
    for (int32_t i = 0; i < sorted.cu_seqlens[n + 1] - sorted.cu_seqlens[n]; ++i) {
      const auto to = static_cast<size_t>(sorted.cu_seqlens[n] + i), from = static_cast<size_t>(begins[n] + i);
      CHECK(sorted.tokens[to] == batch.tokens[from]);
      CHECK(sorted.targets[to] == batch.targets[from]);
      CHECK(sorted.positions[to] == batch.positions[from]);
      CHECK(sorted.sample_of[to] == batch.sample_of[from]);
    }
  CHECK(sorted_by_length(Batch{}).cu_seqlens == std::vector<int32_t>{0});
}
