#include "text/merge_queues.h"

#include <catch2/catch.hpp>
#include <random>
#include <set>

using tessera::MergeQueues;

TEST_CASE("places come by rank, and of a rank the leftmost first, whenever they were added") {
  std::mt19937 random(1);
  MergeQueues queues;
  for (int round = 0; round < 3; ++round) {  // a queue that is empty again is as good as new
    std::multiset<std::pair<uint32_t, int32_t>> expected;
    const auto push = [&] {
      const std::pair<uint32_t, int32_t> place = {random() % 7, static_cast<int32_t>(random() % 1000)};
      queues.push(place.first, place.second);
      expected.insert(place);
    };
    for (int i = 0; i < 500; ++i) push();
    uint32_t rank = 0;
    int late = 200;  // that come while others are taken
    for (int32_t position = 0; queues.next(rank, position);) {
      REQUIRE(std::pair(rank, position) == *expected.begin());
      expected.erase(expected.begin());
      if (late > 0 && random() % 2 == 0) {  // of a lower rank than this one's, too
        push();
        --late;
      }
    }
    REQUIRE(expected.empty());
  }
}

TEST_CASE("what an error left in the queues is gone after clear") {
  MergeQueues queues;
  queues.push(3, 1);
  queues.push(1, 2);
  queues.clear();
  uint32_t rank = 0;
  int32_t position = 0;
  CHECK_FALSE(queues.next(rank, position));
  queues.push(3, 7);
  CHECK((queues.next(rank, position) && rank == 3 && position == 7));
}
