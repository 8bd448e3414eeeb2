#include "generate/sampler.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <vector>

using namespace tessera;

namespace {

const std::vector<float> logits = {std::log(0.1f), std::log(0.5f), std::log(0.1f), std::log(0.3f)};

std::map<int32_t, int> draws(double temperature, double top_p, int count) {
  Sampler sampler(temperature, top_p, 7);
  std::map<int32_t, int> seen;
  for (int i = 0; i < count; ++i) ++seen[sampler.choose(logits.data(), 4)];
  return seen;
}

}  // namespace

TEST_CASE("temperature 0 takes the likeliest token", "[generate]") {
  CHECK(draws(0, 1, 10) == std::map<int32_t, int>{{1, 10}});
}

TEST_CASE("temperature 1 draws tokens as often as the model says", "[generate]") {
  const auto seen = draws(1, 1, 10000);
  CHECK(seen.at(1) == Approx(5000).margin(250));
  CHECK(seen.at(3) == Approx(3000).margin(250));
  CHECK(seen.at(0) == Approx(1000).margin(200));
}

TEST_CASE("a low temperature makes the likeliest token likelier", "[generate]") {
  CHECK(draws(0.5, 1, 1000).at(1) > draws(1, 1, 1000).at(1));
}

TEST_CASE("top_p leaves out the tokens beyond the probability that it names", "[generate]") {
  const auto seen = draws(1, 0.75, 1000);
  CHECK(seen.size() == 2);
  CHECK(seen.at(1) + seen.at(3) == 1000);
}

TEST_CASE("the same seed draws the same tokens", "[generate]") { CHECK(draws(1, 1, 100) == draws(1, 1, 100)); }
