#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "base/hdf5.h"
#include "base/json.h"
#include "checkpoint/raw_file.h"
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

bool is_info(const CheckpointInfo& info, const CheckpointInfo& expected) {
  return info.step == expected.step && info.epoch == expected.epoch && info.samples_seen == expected.samples_seen &&
         info.tokens_seen == expected.tokens_seen && info.world_size == expected.world_size &&
         info.job == expected.job && info.model_config == expected.model_config && info.data == expected.data &&
         info.base && info.base->directory == expected.base->directory &&
         info.base->tensors == expected.base->tensors && info.base->xxh3 == expected.base->xxh3;
}

bool is_refused_or_right(TwoCheckpoints& saved) {
  try {
    return is_info(CheckpointReader(saved.newer).info(), info_of(100, 2)) &&
           load(saved.newer, saved.model.even_bounds(1)) == saved.model;
  } catch (const DataError&) {
    return true;
  }
}

/// Writes `with` over the first `what` in the file; both have the same length.
void overwrite(const std::filesystem::path& path, const std::string& what, const std::string& with) {
  std::string bytes = bytes_of(path);
  REQUIRE(bytes.find(what) != std::string::npos);
  put(path, bytes.replace(bytes.find(what), what.size(), with));
}

/// The manifest as a build wrote it that had no checksum of the metadata alone.
void make_manifest_old(const std::filesystem::path& directory) {
  auto manifest = nlohmann::json::parse(bytes_of(directory / "manifest.json"));
  for (auto& file : manifest["files"]) {
    REQUIRE(file.erase("metadata_bytes") == 1);
    REQUIRE(file.erase("metadata_xxh3") == 1);
  }
  put(directory / "manifest.json", manifest.dump());
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
  CHECK_THROWS_AS(CheckpointReader(saved.newer).read({{"model.norm.weight", {24}, 0, 1, {weights(&first)}}}),
                  DataError);
}

TEST_CASE("streaming a tensor ends with an error where its data set is damaged, and passes on errors of its taker") {
  TwoCheckpoints saved;
  const std::string dataset = "/tensors/model.norm.weight/master";
  const auto at = hdf5::File::open_read(saved.shard()).byte_offset(dataset, hdf5::Type::float32);
  flip_byte(saved.shard(), static_cast<size_t>(at));
  const CheckpointReader reader(saved.newer);
  const auto nothing = [](const void*, int64_t, int64_t) {};
  const auto fail = [](const void*, int64_t, int64_t) { throw DataError("the disk is full"); };
  const TensorSlice norm{"model.norm.weight", {24}, 0, 24, {}}, missing{"model.missing", {24}, 0, 24, {}};
  CHECK_THROWS_WITH(reader.stream(norm, weights(nullptr), nothing),
                    Contains(dataset) && Contains("checksum") && names_the_older());
  CHECK_THROWS_WITH(reader.stream(norm, weights(nullptr), fail), "the disk is full");
  CHECK_THROWS_WITH(reader.stream(missing, weights(nullptr), nothing), Contains("model.missing"));
}

TEST_CASE("a changed byte in a shard's model_config, job or data is detected before use") {
  TwoCheckpoints saved;
  const bool old = GENERATE(false, true);
  if (old) make_manifest_old(saved.newer);
  for (const char* shard : {"shard-00000-of-00002.h5", "shard-00001-of-00002.h5"}) {
    const std::string whole = bytes_of(saved.newer / shard);
    for (const auto& [what, with] : {std::pair<std::string, std::string>{"\"vocab_size\":61", "\"vocab_size\":67"},
                                     {"seed = 42", "seed = 43"},
                                     {"0123456789abcdef", "0123456789abcdee"}}) {
      overwrite(saved.newer / shard, what, with);
      CHECK_THROWS_WITH(CheckpointReader(saved.newer), Contains(shard) && Contains("checksum") && Contains("damaged") &&
                                                           Contains("complete checkpoint step-000050"));
      put(saved.newer / shard, whole);
    }
  }
}

TEST_CASE("a checkpoint whose manifest has no checksum of the metadata alone is read") {
  TwoCheckpoints saved;
  make_manifest_old(saved.newer);
  CHECK(is_info(CheckpointReader(saved.newer).info(), info_of(100, 2)));
  CHECK(load(saved.newer, saved.model.even_bounds(1)) == saved.model);
}

TEST_CASE("a changed byte of metadata is always an error") {
  TwoCheckpoints saved;
  const auto manifest = nlohmann::json::parse(bytes_of(saved.newer / "manifest.json"));
  const size_t metadata_bytes = manifest["files"][1]["metadata_bytes"];
  const std::string whole = bytes_of(saved.shard());
  std::mt19937 random(11);
  for (int i = 0; i < 200; ++i) {
    std::string bytes = whole;
    const size_t at = random() % metadata_bytes;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
    put(saved.shard(), bytes);
    CHECK_THROWS_AS(CheckpointReader(saved.newer), DataError);
  }
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

TEST_CASE("an implausible manifest is refused, and the error names it") {
  TwoCheckpoints saved;
  const auto whole = nlohmann::json::parse(bytes_of(saved.newer / "manifest.json"));
  for (const auto& [at, value] : std::initializer_list<std::pair<std::string, nlohmann::json>>{
           {"/step", 100.5},
           {"/step", "100"},
           {"/step", -1},
           {"/step", 9223372036854775808u},
           {"/epoch", -2},
           {"/epoch", 1.5},
           {"/samples_seen", -30},
           {"/tokens_seen", 1e300},
           {"/world_size", 2.5},
           {"/world_size", 0},
           {"/world_size", -2},
           {"/world_size", 4294967298},
           {"/files", nlohmann::json::object()},
           {"/files/0", 7},
           {"/files/0/name", ".."},
           {"/files/0/name", "."},
           {"/files/0/name", ""},
           {"/files/0/name", "../step-000050/shard-00000-of-00002.h5"},
           {"/files/0/name", "shard-00001-of-00002.h5"},
           {"/files/0/name", "shard-00000-of-00001.h5"},
           {"/files/0/name", std::string(5000, 'x')},
           {"/files/0/bytes", -1},
           {"/files/0/bytes", 1.5},
           {"/files/0/xxh3", "12"},
           {"/files/0/xxh3", "-123456789abcdef"},
           {"/files/0/metadata_bytes", 0},
           {"/files/0/metadata_bytes", 1e9},
           {"/files/0/metadata_xxh3", nullptr},
       }) {
    auto manifest = whole;
    manifest[nlohmann::json::json_pointer(at)] = value;
    put(saved.newer / "manifest.json", manifest.dump());
    INFO(at << " = " << shown(value));
    CHECK_THROWS_WITH(saved.read(), Contains("step-000100/manifest.json") && names_the_older());
    CHECK_THROWS_WITH(saved.read(), !Contains(std::string(200, 'x')));
  }
}

TEST_CASE("a manifest and a shard with different counters are refused") {
  TwoCheckpoints saved;
  overwrite(saved.newer / "manifest.json", "\"tokens_seen\": 4000", "\"tokens_seen\": 4001");
  CHECK_THROWS_WITH(saved.read(), Contains("shard-00000-of-00002.h5") && Contains("tokens_seen is 4000"));
}

TEST_CASE("a pipe in the place of a shard, its manifest or latest is refused at once") {
  TwoCheckpoints saved;
  for (const auto& path : {saved.shard(), saved.newer / "manifest.json"}) {
    std::filesystem::remove(path);
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    CHECK_THROWS_WITH(CheckpointReader(saved.newer), Contains(path.string()) && Contains("is a pipe"));
  }
  const auto latest = saved.newer.parent_path() / "latest";
  std::filesystem::remove(latest);
  REQUIRE(::mkfifo(latest.c_str(), 0600) == 0);
  CHECK_THROWS_WITH(find_latest_checkpoint(saved.folder.path()), Contains(latest.string()) && Contains("is a pipe"));
}

TEST_CASE("a shard that claims more elements than its data sets have is refused, whoever made its checksums") {
  const TemporaryFolder folder;
  TestModel model;
  const auto directory = save(folder.path(), model, 1, 1);
  const auto shard = directory / shard_name(0, 1);
  const bool in_blocks = GENERATE(false, true);  // nothing but a state of 24 blocks
  const int64_t block = 1 << 20, claimed = in_blocks ? 24 * block : int64_t{1} << 40;
  const std::string group = "/tensors/model.norm.weight";
  const hid_t file = H5Fopen(shard.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), space = H5Screate(H5S_SCALAR);
  for (const char* name : {"global_shape", "count"}) {
    REQUIRE(H5Adelete_by_name(file, group.c_str(), name, H5P_DEFAULT) >= 0);
    const hid_t attribute =
        H5Acreate_by_name(file, group.c_str(), name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    REQUIRE(H5Awrite(attribute, H5T_NATIVE_INT64, &claimed) >= 0);
    H5Aclose(attribute);
  }
  if (in_blocks) {
    for (const char* name : {"/master", "/exp_avg_sq"})
      REQUIRE(H5Ldelete(file, (group + name).c_str(), H5P_DEFAULT) >= 0);
    const hid_t attribute = H5Acreate_by_name(file, (group + "/exp_avg").c_str(), "block_size", H5T_STD_I64LE, space,
                                              H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    REQUIRE(H5Awrite(attribute, H5T_NATIVE_INT64, &block) >= 0);
    H5Aclose(attribute);
  }
  H5Sclose(space);
  REQUIRE(H5Fclose(file) >= 0);
  make_manifest_old(directory);
  auto manifest = nlohmann::json::parse(bytes_of(directory / "manifest.json"));
  const RawFile forged = RawFile::open_read(shard);
  manifest["files"][0]["bytes"] = forged.size();
  manifest["files"][0]["xxh3"] = fmt::format("{:016x}", xxh3_of_beginning(forged, forged.size()));
  put(directory / "manifest.json", manifest.dump());
  CHECK_THROWS_WITH(
      CheckpointReader(directory),
      Contains(shard.string()) && Contains("model.norm.weight") &&
          Contains(in_blocks ? "more than the file holds" : "has 24 elements, but its count is 1099511627776"));
}

TEST_CASE("a weight that is not finite is refused, and the error names file and tensor") {
  const TemporaryFolder folder;
  TestModel model;
  std::vector<float> TestModel::*values = GENERATE(&TestModel::master, &TestModel::exp_avg, &TestModel::exp_avg_sq);
  (model.*values)[100] = GENERATE(std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity());
  const auto directory = save(folder.path(), model, 1, 2);
  CHECK_THROWS_WITH(load(directory, model.even_bounds(1)), Contains("shard-00000-of-00002.h5") &&
                                                               Contains("/tensors/model.embed_tokens.weight/") &&
                                                               Contains("not finite"));
}

TEST_CASE("without another complete checkpoint the error says so") {
  TwoCheckpoints saved;
  std::filesystem::remove(saved.older / "shard-00000-of-00002.h5");
  std::filesystem::remove(saved.shard());
  CHECK_THROWS_WITH(saved.read(), Contains("no other complete checkpoint"));
}

TEST_CASE("a shard of another step is refused, also where the manifest is made to fit") {
  TwoCheckpoints saved;
  std::filesystem::copy_file(saved.older / saved.shard().filename(), saved.shard(),
                             std::filesystem::copy_options::overwrite_existing);
  CHECK_THROWS_WITH(saved.read(), Contains("shard-00001-of-00002.h5") && Contains("checksum"));
  auto manifest = nlohmann::json::parse(bytes_of(saved.newer / "manifest.json"));
  manifest["files"][1] = nlohmann::json::parse(bytes_of(saved.older / "manifest.json"))["files"][1];
  put(saved.newer / "manifest.json", manifest.dump());
  CHECK_THROWS_WITH(saved.read(), Contains("step 50") && Contains("step 100"));
}

TEST_CASE("shards that leave a hole in a tensor are refused") {
  const TemporaryFolder folder;
  TestModel model;
  auto slices = model.slices();
  --slices.back().count;
  const auto shard = write_shard(step_directory(folder.path(), 1), info_of(1, 1), 0, slices);
  commit_checkpoint(folder.path(), info_of(1, 1), {shard}, 0);
  CHECK_THROWS_WITH(
      CheckpointReader(step_directory(folder.path(), 1)),
      Contains(step_directory(folder.path(), 1).string() + ": tensor model.norm.weight") && Contains("no shard holds"));
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

TEST_CASE("describe_checkpoint names step, ranks, tensors and correct checksums") {
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
