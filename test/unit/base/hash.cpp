#include "base/hash.h"

#include <catch2/catch.hpp>
#include <fstream>

#include "base/error.h"
#include "support/temporary_folder.h"

using namespace tessera;

TEST_CASE("xxh3 gives the published value of the empty input") { CHECK(xxh3("", 0) == 0x2d06800538d394c2u); }

TEST_CASE("a stream hashed in pieces gives the hash of the whole") {
  const std::string text(10'000, 'x');
  for (size_t piece : {1u, 7u, 256u, 9'999u}) {
    Hasher hasher;
    for (size_t at = 0; at < text.size(); at += piece)
      hasher.update(text.data() + at, std::min(piece, text.size() - at));
    CHECK(hasher.digest() == xxh3(text.data(), text.size()));
  }
}

TEST_CASE("a file's hash is that of its bytes, also beyond one block") {
  const test::TemporaryFolder folder;
  const std::string text((3 << 20) + 1, 'y');
  std::ofstream(folder / "file", std::ios::binary) << text;
  Hasher hasher;
  hasher.update_file(folder / "file");
  CHECK(hasher.digest() == xxh3(text.data(), text.size()));
}

TEST_CASE("a file that cannot be read is an error") {
  const test::TemporaryFolder folder;
  Hasher hasher;
  CHECK_THROWS_AS(hasher.update_file(folder / "missing"), DataError);
}

TEST_CASE("fields that join to the same text hash differently") {
  Hasher one, other;
  one.update_field("ab");
  one.update_field("c");
  other.update_field("a");
  other.update_field("bc");
  CHECK(one.digest() != other.digest());
}

TEST_CASE("a hash in hexadecimal is 16 digits") { CHECK(Hasher().hex() == "2d06800538d394c2"); }
