#include "base/excerpt.h"

#include <catch2/catch.hpp>

#include "base/error.h"

using namespace tessera;

TEST_CASE("an excerpt is the text where it is short, and ends between characters where it is not") {
  CHECK(excerpt("") == "");
  CHECK(excerpt("short", 5) == "short");
  CHECK(excerpt("longer", 5) == "longe …");
  CHECK(excerpt("aää", 4) == "aä …");
}

TEST_CASE("an error's message never fills screens") {
  const DataError error("{}: is wrong", std::string(1 << 20, 'x'));
  CHECK(std::string(error.what()).size() < 20'000);
}
