#include "checkpoint/export.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/hdf5.h"
#include "checkpoint/safetensors.h"
#include "support/temporary_folder.h"
#include "unit/base/file_size_limit.h"
#include "unit/checkpoint/damage.h"
#include "unit/checkpoint/saved_model.h"

using namespace tessera;
using namespace tessera::test;
using Catch::Matchers::Contains;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

/// A checkpoint of three ranks, a base directory with a tokenizer, and where the export goes.
struct Exported {
  TemporaryFolder folder;
  TestModel model;
  fs::path checkpoint = save(folder.path(), model, 100, 3);
  ExportSettings settings{.base = folder / "base", .tokenizer = {}, .directory = folder / "final"};

  Exported() {
    fs::create_directories(settings.base);
    put(settings.base / "tokenizer.json", "{\"model\":{}}");
    put(settings.base / "generation_config.json", "{}");
    put(settings.base / "LICENSE", "free");
    put(settings.base / "model.safetensors", "the base's weights");
    put(settings.base / "pytorch_model.bin", "not wanted");
  }
  void run() { export_checkpoint(CheckpointReader(checkpoint), settings); }
  json config() const { return json::parse(bytes_of(settings.directory / "config.json")); }
  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(settings.directory)) names.insert(entry.path().filename());
    return names;
  }
  /// Whether every tensor of the export is the model's, rounded to the export's dtype.
  bool holds_the_model() const {
    const SafetensorsReader reader(settings.directory);
    if (reader.names().size() != model.tensors.size()) return false;
    for (const TestTensor& tensor : model.tensors) {
      if (reader.shape(tensor.name) != tensor.shape) return false;
      std::vector<float> values(static_cast<size_t>(tensor.count));
      reader.read(tensor.name, 0, tensor.count, values.data());
      for (int64_t i = 0; i < tensor.count; ++i) {
        const float exact = model.master[static_cast<size_t>(tensor.offset + i)];
        const float expected = settings.dtype == DType::f32 ? exact : static_cast<float>(bf16(exact));
        if (values[static_cast<size_t>(i)] != expected) return false;
      }
    }
    return true;
  }
};

json header_of(const fs::path& path) {
  const std::string bytes = bytes_of(path);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  return json::parse(bytes.substr(8, length));
}

}  // namespace

TEST_CASE("an export holds the checkpoint's weights") {
  Exported exported;
  for (const DType dtype : {DType::bf16, DType::f32}) {
    exported.settings.dtype = dtype;
    exported.run();
    CHECK(exported.holds_the_model());
  }
}

TEST_CASE(
    "an export has weights, configuration, tokenizer, generation settings and licence, and nothing else of base") {
  Exported exported;
  exported.run();
  CHECK(exported.files() == std::set<std::string>{"config.json", "model.safetensors", "tokenizer.json",
                                                  "generation_config.json", "LICENSE"});
  CHECK(bytes_of(exported.settings.directory / "tokenizer.json") == "{\"model\":{}}");
}

TEST_CASE("an export above max_shard_bytes is several files with an index") {
  Exported exported;
  exported.settings.max_shard_bytes = 2000;
  exported.run();
  CHECK(exported.holds_the_model());
  const json index = json::parse(bytes_of(exported.settings.directory / "model.safetensors.index.json"));
  CHECK(index["metadata"]["total_size"] == exported.model.size * 2);
  CHECK(index["weight_map"].size() == exported.model.tensors.size());
  CHECK_THAT(index["weight_map"]["model.norm.weight"].get<std::string>(),
             Catch::Matchers::Matches("model-0000[1-9]-of-0000[2-9]\\.safetensors"));
}

TEST_CASE("a file of an export is larger than max_shard_bytes only for a single tensor") {
  Exported exported;
  exported.settings.max_shard_bytes = 2500;
  exported.run();
  for (const std::string& name : exported.files()) {
    if (!name.ends_with(".safetensors")) continue;
    const json header = header_of(exported.settings.directory / name);
    int64_t bytes = 0;
    for (const auto& [tensor, entry] : header.items())
      if (tensor != "__metadata__") bytes = std::max(bytes, entry["data_offsets"][1].get<int64_t>());
    CHECK((bytes <= 2500 || header.size() == 2));
  }
}

TEST_CASE("an exported file says that it is for PyTorch, and its data begin at a multiple of eight bytes") {
  Exported exported;
  exported.run();
  const fs::path path = exported.settings.directory / "model.safetensors";
  CHECK(header_of(path)["__metadata__"]["format"] == "pt");
  const std::string bytes = bytes_of(path);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  CHECK(length % 8 == 0);
}

TEST_CASE("an exported configuration names the dtype of the weights in the spelling it had") {
  Exported exported;
  exported.run();
  CHECK(exported.config() == json{{"model_type", "llama"}, {"torch_dtype", "bfloat16"}, {"vocab_size", 61}});
  auto info = info_of(200, 1);
  info.model_config = R"({"dtype":"float16","vocab_size":61})";
  const auto shard = write_shard(step_directory(exported.folder.path(), 200), info, 0, exported.model.slices());
  commit_checkpoint(exported.folder.path(), info, {shard}, 0);
  exported.checkpoint = step_directory(exported.folder.path(), 200);
  exported.settings.dtype = DType::f32;
  exported.run();
  CHECK(exported.config() == json{{"dtype", "float32"}, {"vocab_size", 61}});
}

TEST_CASE("a configuration that is no JSON object is refused, and the checkpoint named") {
  Exported exported;
  for (const char* config : {"[1]", "{\"vocab_size\": "}) {
    auto info = info_of(200, 1);
    info.model_config = config;
    const auto shard = write_shard(step_directory(exported.folder.path(), 200), info, 0, exported.model.slices());
    commit_checkpoint(exported.folder.path(), info, {shard}, 0);
    exported.checkpoint = step_directory(exported.folder.path(), 200);
    CHECK_THROWS_WITH(exported.run(), Contains(exported.checkpoint.string() + ": model_config"));
  }
}

TEST_CASE("an export over one with more files leaves none of the old weights") {
  Exported exported;
  exported.settings.max_shard_bytes = 2000;
  exported.run();
  exported.settings.max_shard_bytes = 1'000'000;
  exported.run();
  CHECK(exported.holds_the_model());
  CHECK(exported.files() == std::set<std::string>{"config.json", "model.safetensors", "tokenizer.json",
                                                  "generation_config.json", "LICENSE"});
}

TEST_CASE("an export over one with fewer files leaves none of the old weights") {
  Exported exported;
  exported.run();
  exported.settings.max_shard_bytes = 2000;
  exported.run();
  CHECK(exported.holds_the_model());
  CHECK_FALSE(exported.files().contains("model.safetensors"));
}

TEST_CASE("the tokenizer may come from another directory than base") {
  Exported exported;
  exported.settings.tokenizer = exported.folder / "tokenizer";
  fs::create_directories(exported.settings.tokenizer);
  put(exported.settings.tokenizer / "tokenizer.json", "another");
  exported.run();
  CHECK(bytes_of(exported.settings.directory / "tokenizer.json") == "another");
  CHECK(exported.files().contains("generation_config.json"));
}

TEST_CASE("an export that fails on a full disk leaves the earlier export unchanged") {
  Exported exported;
  exported.settings.max_shard_bytes = 2000;
  exported.run();
  {
    const FileSizeLimit limit(1000);
    CHECK_THROWS_WITH(exported.run(), Contains("export to") && Contains("File too large") && Contains("train export"));
  }
  CHECK(exported.holds_the_model());
  CHECK(exported.files().contains("config.json"));
  for (const std::string& name : exported.files()) CHECK_FALSE(fs::path(name).extension() == ".tmp");
}

TEST_CASE("an export never goes into the base model's directory") {
  Exported exported;
  exported.settings.directory = exported.settings.base;
  CHECK_THROWS_AS(exported.run(), JobError);
  CHECK(bytes_of(exported.settings.base / "model.safetensors") == "the base's weights");
}

TEST_CASE("a damaged checkpoint is not exported") {
  Exported exported;
  const fs::path shard = exported.checkpoint / "shard-00001-of-00003.h5";
  const auto at = hdf5::File::open_read(shard).byte_offset("/tensors/model.layers.0.self_attn.q_proj.weight/master",
                                                           hdf5::Type::float32);
  flip_byte(shard, static_cast<size_t>(at));
  CHECK_THROWS_AS(exported.run(), DataError);
  CHECK_FALSE(fs::exists(exported.settings.directory / "config.json"));
}
