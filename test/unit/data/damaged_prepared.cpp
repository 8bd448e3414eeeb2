// Prepared files that were damaged, or made by somebody else.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <random>

#include "base/error.h"
#include "data/prepare_key.h"
#include "data/prepared_writer.h"
#include "fixture.h"

using namespace tessera;
using namespace tessera::test;
using Catch::Contains;

namespace {

std::string bytes_of(const Path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put(const Path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

template <typename T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

/// Writes `with` over the first `what` in the file.
template <typename T>
void overwrite(const Path& path, const std::vector<T>& what, const std::vector<T>& with) {
  std::string bytes = bytes_of(path);
  const size_t at = bytes.find(raw(what));
  REQUIRE(at != std::string::npos);
  put(path, bytes.replace(at, raw(with).size(), raw(with)));
}

/// A job whose samples can be found in the file's bytes.
struct Prepared {
  TemporaryFolder folder;
  Job job = job_with(folder, {dataset("d", folder.write("a.jsonl",
                                                        "{\"input_ids\": [101, 102, 103, 104, 105]}\n"
                                                        "{\"input_ids\": [106, 107], \"labels\": [-100, 7]}\n"
                                                        "{\"input_ids\": [108, 109, 110]}\n"))});
  PreparedFile file = prepare(job, nullptr, test_vocab_size);
  std::vector<StoredSample> samples = samples_of(PreparedSet(file.path, "train"));

  /// The error of using the file again and reading all of it; tokens are read as they are wanted where `kept` is 0.
  std::string error(int64_t kept = 0) const {
    return error_of<DataError>([&] {
      const bool reused = prepare(job, nullptr, test_vocab_size).reused;
      const auto read = samples_of(PreparedSet(file.path, "train", kept));
      REQUIRE(reused);
      REQUIRE(read == samples);
    });
  }
};

/// A file of one sample with ids 1, 2, 3, of which `change` makes something else; its checksums are right.
template <typename Change>
void write_forged(const Path& path, Change change) {
  std::filesystem::create_directories(path.parent_path());
  PreparedWriter writer(path);
  PreparedWriter::Contents contents;
  contents.train = {writer.add({{1, 2, 3}, {-100, 2, 3}}, 0, 3)};
  contents.header = {.key = "", .summary = "", .vocab_size = test_vocab_size, .sources = {"a.jsonl"}};
  change(contents);
  writer.finish(contents);
}

template <typename Change>
std::string forged_error(Change change) {
  const TemporaryFolder folder;
  const Path path = folder / "forged.h5";
  write_forged(path, change);
  return error_of<DataError>([&] {
    const PreparedSet set(path, "train");
    samples_of(set);
    set.source(0);
  });
}

}  // namespace

TEST_CASE("A changed token or label is reported with the file and the remedy, and the file stays", "[damage]") {
  const Prepared prepared;
  const int64_t kept = GENERATE(0, 1 << 20);
  const std::string whole = bytes_of(prepared.file.path);
  for (const auto& [what, with] : {std::pair<std::vector<int32_t>, std::vector<int32_t>>{{104, 105}, {104, 42}},
                                   {{-100, 7}, {-100, -100}},
                                   {{-100, 7}, {-100, 8}}}) {
    overwrite(prepared.file.path, what, with);
    const std::string damaged = bytes_of(prepared.file.path);
    const std::string error = prepared.error(kept);
    CHECK_THAT(error,
               Contains(prepared.file.path.string()) && Contains("checksum") && Contains("delete this prepared"));
    CHECK(bytes_of(prepared.file.path) == damaged);
    put(prepared.file.path, whole);
  }
  CHECK(prepared.error(kept).empty());
}

TEST_CASE("A changed number of supervised tokens, length, start or line is detected", "[damage]") {
  const Prepared prepared;
  const std::string whole = bytes_of(prepared.file.path);
  const auto is_told = [&] {
    CHECK_THAT(prepared.error(), Contains(prepared.file.path.string()) && Contains("checksum") && Contains("delete"));
    put(prepared.file.path, whole);
  };
  using Column = std::vector<int32_t>;
  for (const Column& supervised : {Column{0, 1, 2}, {-7, 1, 2}, {3, 1, 2}}) {
    overwrite(prepared.file.path, Column{4, 1, 2}, supervised);
    is_told();
  }
  overwrite(prepared.file.path, Column{5, 2, 3}, Column{5, 2, 2});
  is_told();
  overwrite(prepared.file.path, std::vector<int64_t>{0, 5, 7}, std::vector<int64_t>{0, 5, 6});
  is_told();
  overwrite(prepared.file.path, std::vector<int64_t>{1, 2, 3}, std::vector<int64_t>{1, 2, 4});
  const PreparedSet set(prepared.file.path, "train");
  CHECK_THAT(error_of<DataError>([&] { set.source(0); }), Contains("checksum"));
}

TEST_CASE("No bit of a prepared file can be changed without an error or the same samples", "[damage]") {
  const Prepared prepared;
  const std::string whole = bytes_of(prepared.file.path);
  std::mt19937 random(5);
  std::vector<size_t> used;  // the rest are zeros, of chunks that are not full
  for (size_t i = 0; i < whole.size(); ++i)
    if (whole[i] != 0) used.push_back(i);
  for (int i = 0; i < 400; ++i) {
    std::string bytes = whole;
    const size_t at = i % 4 == 0 ? random() % whole.size() : used[random() % used.size()];
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
    put(prepared.file.path, bytes);
    const std::string error = prepared.error();
    CHECK((error.empty() || error.find(prepared.file.path.string()) != std::string::npos));
  }
}

TEST_CASE("A set longer than a block of its columns is read as it was written, whole or in parts", "[damage]") {
  const TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 40'000; ++i) lines += "{\"input_ids\": [" + std::to_string(i % 512) + ", 7]}\n";
  const Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", lines))});
  const Path path = prepare(job, nullptr, test_vocab_size).path;
  const PreparedSet kept(path, "train"), in_parts(path, "train", 0);
  REQUIRE(kept.size() == 40'000);
  const auto is_sample = [](const PreparedSet& set, int32_t i) {
    std::vector<int32_t> ids, labels;
    set.read(i, ids, labels);
    return ids == std::vector<int32_t>{i % 512, 7} && labels == ids &&
           set.source(i).ends_with(":" + std::to_string(i + 1));
  };
  for (const int32_t i : {0, 8191, 8192, 16'383, 16'384, 32'767, 32'768, 39'999}) {
    CHECK(is_sample(kept, i));
    CHECK(is_sample(in_parts, i));
  }
}

TEST_CASE("Anything in the place of a prepared file is reported and kept", "[damage]") {
  const Prepared prepared;
  const Path path = prepared.file.path;
  std::filesystem::remove(path);
  SECTION("an empty file") { put(path, ""); }
  SECTION("a pipe") { REQUIRE(::mkfifo(path.c_str(), 0600) == 0); }
  SECTION("a directory") { std::filesystem::create_directory(path); }
  SECTION("a link to nowhere") { std::filesystem::create_symlink("nowhere", path); }
  SECTION("a loop of links") { std::filesystem::create_symlink(path, path); }
  const auto before = std::filesystem::symlink_status(path).type();
  CHECK_THAT(prepared.error(), Contains(path.string()) && Contains("delete this prepared file"));
  CHECK(std::filesystem::symlink_status(path).type() == before);
}

TEST_CASE("Preparing writes through no link at the temporary name", "[damage]") {
  const Prepared prepared;
  const Path victim = prepared.folder.write("victim", "untouched");
  std::filesystem::remove(prepared.file.path);
  std::filesystem::create_symlink(victim, prepared.file.path.string() + ".tmp");
  CHECK_FALSE(prepare(prepared.job, nullptr, test_vocab_size).reused);
  CHECK(bytes_of(victim) == "untouched");
}

TEST_CASE("An implausible prepared file with correct checksums is refused", "[damage]") {
  using Contents = PreparedWriter::Contents;
  CHECK(forged_error([](Contents&) {}).empty());
  const auto refused = [](auto change, const char* why) {
    CHECK_THAT(forged_error(change), Contains("forged.h5") && Contains(why));
  };
  refused([](Contents& c) { c.train[0].supervised = 0; }, "claims that 0 of its tokens carry loss; 2 do");
  refused([](Contents& c) { c.train[0].supervised = -7; }, "claims that -7 of its 3 tokens");
  refused([](Contents& c) { c.train[0].supervised = 3; }, "claims that 3 of its 3 tokens");
  refused([](Contents& c) { c.train[0].length = 0; }, "outside the stored tokens");
  refused([](Contents& c) { c.train[0].length = -1; }, "outside the stored tokens");
  refused([](Contents& c) { c.train[0].length = 4; }, "outside the stored tokens");
  refused([](Contents& c) { c.train[0].start = -1; }, "outside the stored tokens");
  refused([](Contents& c) { c.train[0].start = INT64_MAX; }, "outside the stored tokens");
  refused([](Contents& c) { c.train[0].piece = -1; }, "piece -1");
  refused([](Contents& c) { c.train[0].file = 1; }, "file 1");
  refused([](Contents& c) { c.train[0].file = -1; }, "file -1");
  refused([](Contents& c) { c.train[0].line = -1; }, "line -1");
  refused([](Contents& c) { c.header.vocab_size = 3; }, "an invalid token");
  refused([](Contents& c) { c.header.vocab_size = int64_t{1} << 40; }, "vocab_size");
}

TEST_CASE("A prepared file made for another vocabulary or longer sequences than the job's is refused", "[damage]") {
  Prepared prepared;
  const std::string key = prepare_key(prepared.job, find_datasets(prepared.job), nullptr, test_vocab_size);
  SECTION("vocabulary") {
    write_forged(prepared.file.path, [&](auto& c) {
      c.header.key = key;
      c.header.vocab_size = test_vocab_size + 1;
    });
  }
  SECTION("sequences") {
    PreparedWriter writer(prepared.file.path);
    const std::vector<int32_t> ids(65, 1);
    PreparedWriter::Contents contents;
    contents.header = {.key = key, .summary = "", .vocab_size = test_vocab_size, .sources = {"a.jsonl"}};
    contents.eval = {writer.add({ids, ids}, 0, 65)};
    contents.train = {writer.add({ids, ids}, 0, 3)};
    writer.finish(contents);
  }
  CHECK_THAT(prepared.error(), Contains("content does not match its name") && Contains("delete it"));
}
