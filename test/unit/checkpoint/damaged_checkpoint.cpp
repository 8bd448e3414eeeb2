#include <catch2/catch.hpp>
#include <random>

#include "base/error.h"
#include "base/hdf5.h"
#include "support/temporary_folder.h"
#include "unit/checkpoint/damage.h"
#include "unit/checkpoint/saved_model.h"

using namespace tessera;
using namespace tessera::test;
using Catch::Matchers::Contains;

namespace {

/// Two whole checkpoints of two ranks, steps 50 and 100; a test damages the newer one.
struct TwoCheckpoints {
  TemporaryFolder folder;
  TestModel model;
  std::filesystem::path older = save(folder.path(), model, 50, 2);
  std::filesystem::path newer = save(folder.path(), model, 100, 2);

  void read() { load(newer, model.even_bounds(1)); }
  std::filesystem::path shard() const { return newer / "shard-00001-of-00002.h5"; }
};

bool is_refused_or_right(TwoCheckpoints& saved) {
  try {
    return load(saved.newer, saved.model.even_bounds(1)) == saved.model;
  } catch (const DataError&) {
    return true;
  }
}

auto names_the_older() { return Contains("complete checkpoint step-000050 with checkpoint.resume = "); }

}  // namespace

TEST_CASE("a changed byte in a data set is caught by its checksum") {
  TwoCheckpoints saved;
  const std::string dataset = "/tensors/model.norm.weight/exp_avg";
  const auto at = hdf5::File::open_read(saved.shard()).byte_offset(dataset, hdf5::Type::float32);
  flip_byte(saved.shard(), static_cast<size_t>(at) + 5);
  CHECK_THROWS_WITH(saved.read(), Contains("shard-00001-of-00002.h5") && Contains(dataset) && Contains("checksum") &&
                                      names_the_older());
}

TEST_CASE("a slice is refused for damage anywhere in its data set") {
  TwoCheckpoints saved;
  const std::string dataset = "/tensors/model.norm.weight/master";
  const auto at = hdf5::File::open_read(saved.shard()).byte_offset(dataset, hdf5::Type::float32);
  flip_byte(saved.shard(), static_cast<size_t>(at) + 23 * 4);
  float first;
  CHECK_THROWS_AS(CheckpointReader(saved.newer).read({{"model.norm.weight", {24}, 0, 1, &first}}), DataError);
}

TEST_CASE("a truncated shard is refused, and the error names the checkpoint to resume from") {
  TwoCheckpoints saved;
  std::filesystem::resize_file(saved.shard(), std::filesystem::file_size(saved.shard()) - 1);
  CHECK_THROWS_WITH(saved.read(), Contains("shard-00001-of-00002.h5") && Contains("bytes") && names_the_older());
}

TEST_CASE("a missing shard is refused, and the error names the checkpoint to resume from") {
  TwoCheckpoints saved;
  std::filesystem::remove(saved.shard());
  CHECK_THROWS_WITH(saved.read(), Contains("shard-00001-of-00002.h5") && Contains("missing") && names_the_older());
}

TEST_CASE("a manifest that is not JSON is refused, and the error names the checkpoint to resume from") {
  TwoCheckpoints saved;
  for (const char* text : {"", "{", "[]", "{}", R"({"format":"tessera-checkpoint"})", "{\"format\":\"\xff\"}"}) {
    put(saved.newer / "manifest.json", text);
    CHECK_THROWS_WITH(saved.read(), Contains("manifest.json") && names_the_older());
  }
}

TEST_CASE("a manifest of a later version is refused") {
  TwoCheckpoints saved;
  std::string text = bytes_of(saved.newer / "manifest.json");
  const std::string version = "\"version\": 1";
  text.replace(text.find(version), version.size(), "\"version\": 2");
  put(saved.newer / "manifest.json", text);
  CHECK_THROWS_WITH(saved.read(), Contains("version is 2"));
}

TEST_CASE("without another whole checkpoint the error says so") {
  TwoCheckpoints saved;
  std::filesystem::remove(saved.older / "shard-00000-of-00002.h5");
  std::filesystem::remove(saved.shard());
  CHECK_THROWS_WITH(saved.read(), Contains("no other complete checkpoint"));
}

TEST_CASE("a shard of another step is refused") {
  TwoCheckpoints saved;
  std::filesystem::copy_file(saved.older / saved.shard().filename(), saved.shard(),
                             std::filesystem::copy_options::overwrite_existing);
  CHECK_THROWS_WITH(saved.read(), Contains("step 50") && Contains("step 100"));
}

TEST_CASE("shards that leave a hole in a tensor are refused") {
  const TemporaryFolder folder;
  TestModel model;
  auto slices = model.slices();
  --slices.back().count;
  const auto shard = write_shard(step_directory(folder.path(), 1), info_of(1, 1), 0, slices);
  commit_checkpoint(folder.path(), info_of(1, 1), {shard}, 0);
  CHECK_THROWS_WITH(CheckpointReader(step_directory(folder.path(), 1)),
                    Contains("model.norm.weight") && Contains("do not hold"));
}

TEST_CASE("shards that overlap in a tensor are refused") {
  const TemporaryFolder folder;
  TestModel model;
  std::vector<ShardFile> shards;
  for (int rank : {0, 1})
    shards.push_back(write_shard(step_directory(folder.path(), 1), info_of(1, 2), rank, model.slices()));
  commit_checkpoint(folder.path(), info_of(1, 2), shards, 0);
  CHECK_THROWS_WITH(CheckpointReader(step_directory(folder.path(), 1)), Contains("more than once"));
}

TEST_CASE("no byte of a shard can be changed without an error or the same state") {
  TwoCheckpoints saved;
  const std::string whole = bytes_of(saved.shard());
  std::mt19937 random(7);
  for (int i = 0; i < 150; ++i) {
    std::string bytes = whole;
    const size_t at = random() % bytes.size();
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
    put(saved.shard(), bytes);
    CHECK(is_refused_or_right(saved));
  }
}

TEST_CASE("describe_checkpoint tells step, ranks, tensors and that the checksums are right") {
  TwoCheckpoints saved;
  CHECK_THAT(describe_checkpoint(saved.newer), Contains("step 100") && Contains("2 ranks") &&
                                                   Contains("model.norm.weight  [24]") &&
                                                   Contains("shard-00001-of-00002.h5") && Contains("checksum right"));
}

TEST_CASE("describe_checkpoint refuses a checkpoint with a changed byte") {
  TwoCheckpoints saved;
  const auto at =
      hdf5::File::open_read(saved.shard()).byte_offset("/tensors/model.norm.weight/master", hdf5::Type::float32);
  flip_byte(saved.shard(), static_cast<size_t>(at));
  CHECK_THROWS_WITH(describe_checkpoint(saved.newer), Contains("damaged") && names_the_older());
}
