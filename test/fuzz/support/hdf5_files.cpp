#include "support/hdf5_files.h"

#include <array>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/hash.h"
#include "base/hdf5.h"
#include "checkpoint/export.h"
#include "checkpoint/raw_file.h"
#include "checkpoint/tensor_shape.h"
#include "data/prepared.h"
#include "data/prepared_layout.h"
#include "support/fuzz.h"

namespace tessera::fuzz {
namespace {

namespace fs = std::filesystem;

const CheckpointInfo info = {.step = 1,
                             .epoch = 0,
                             .samples_seen = 2,
                             .tokens_seen = 3,
                             .world_size = 1,
                             .job = "[job]\noutput_dir = out\n",
                             .model_config = R"({"model_type": "llama"})",
                             .data = "0123456789abcdef",
                             .base = BaseModel{"m", {{"frozen.weight", 7}}, 42}};

class PreparedSeed {
 public:
  explicit PreparedSeed(const fs::path& path) : file_(hdf5::File::create(path, hdf5::Layout::checksummed)) {}

  template <typename T>
  void column(const std::string& name, const std::vector<T>& values) {
    const auto count = static_cast<int64_t>(values.size());
    file_.write(name, values.data(), count);
    BlockHasher hasher(sizeof(T));
    hasher.add(values.data(), count * static_cast<int64_t>(sizeof(T)));
    columns_.push_back({name, count, hasher.finish()});
    const auto& hashes = columns_.back().hashes;
    file_.write(hashes_of(name), hashes.data(), static_cast<int64_t>(hashes.size()));
  }
  void group(const std::string& name) { file_.create_group(name); }

  void finish(const PreparedHeader& header) {
    file_.create_group("/sources");
    file_.write_attribute("/sources", "0", std::string_view(header.sources.front()));
    file_.write_attribute("/", "format", prepared_format);
    file_.write_attribute("/", "version", prepared_version);
    file_.write_attribute("/", "key", std::string_view(header.key));
    file_.write_attribute("/", "summary", std::string_view(header.summary));
    file_.write_attribute("/", "vocab_size", header.vocab_size);
    file_.write_attribute("/", "sources", int64_t{1});
    file_.write_attribute("/", "xxh3", prepared_checksum(header, columns_));
    file_.close();
  }

 private:
  hdf5::File file_;
  std::vector<HashedColumn> columns_;
};

/// Reads every sample; false where one could not be read.
bool read_set(const fs::path& path, std::string_view split, int64_t kept_tokens) {
  const PreparedSet set(path, std::string(split), kept_tokens);
  constexpr int64_t enough = 64;
  bool all = true;
  for (int64_t i = 0; i < std::min(set.size(), enough); ++i)
    all &= reads(path.native(), [&] {
      set.source(i);
      Batch batch;
      set.append(i, batch);
    });
  return all;
}

/// While it lives, no checksum of the project's own is wrong.
struct EveryChecksumPasses {
  EveryChecksumPasses() { every_checksum_passes = true; }
  ~EveryChecksumPasses() { every_checksum_passes = false; }
};

}  // namespace

void write_checkpoint(const fs::path& step_directory) {
  std::array<float, 12> values{};
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) / 8;
  const auto slice = [&](const char* name, std::vector<int64_t> shape) {
    const int64_t count = *element_count(shape);
    return TensorSlice{name,
                       std::move(shape),
                       0,
                       count,
                       {{"master", DType::f32, values.data()},
                        {"exp_avg", DType::f32, values.data()},
                        {"exp_avg_sq", DType::f32, values.data()},
                        {"momentum_codes", DType::u8, values.data(), 4},
                        {"momentum_absmax", DType::f32, values.data(), 4, true}}};
  };
  write_shard(step_directory, info, 0, {slice("model.embed_tokens.weight", {4, 3}), slice("model.norm.weight", {3})});
  write_manifest(step_directory);
}

void write_prepared(const fs::path& path) {
  PreparedSeed file(path);
  file.column<int32_t>("/tokens", {1, 2, 3, 4, 5, 6, 7, 8});
  file.column<int32_t>("/labels", {-100, 2, 3, 4, 5, -100, 7, 8});
  file.group("/splits");
  for (const auto split : split_names) {
    const bool train = split == split_names.front();
    const auto of_split = [&]<typename T>(const char* name, std::vector<T> values) {
      if (!train) values.resize(1);
      file.column(split_column(split, name), values);
    };
    file.group("/splits/" + std::string(split));
    of_split("start", std::vector<int64_t>{0, 3});
    of_split("length", std::vector<int32_t>{3, 5});
    of_split("supervised", std::vector<int32_t>{2, 3});
    of_split("piece", std::vector<int32_t>{0, 1});
    of_split("file", std::vector<int32_t>{0, 0});
    of_split("line", std::vector<int64_t>{1, 2});
  }
  file.finish({.key = "0123456789abcdef", .summary = "train: 2 samples", .vocab_size = 9, .sources = {"data.jsonl"}});
}

void write_manifest(const fs::path& step_directory) {
  const std::string name = shard_name(0, 1);
  const RawFile shard = RawFile::open_read(step_directory / name);
  const std::string text = fmt::format(
      R"({{"format": "tessera-checkpoint", "version": 1, "step": {}, "epoch": {}, "samples_seen": {}, "tokens_seen": {},
 "world_size": 1, "files": [{{"name": "{}", "bytes": {}, "xxh3": "{:016x}"}}]}})",
      info.step, info.epoch, info.samples_seen, info.tokens_seen, name, shard.size(),
      xxh3_of_beginning(shard, shard.size()));
  put(fs::relative(step_directory / "manifest.json", folder()).string(), text);
}

void read_checkpoint(const fs::path& step_directory) {
  const EveryChecksumPasses here;
  reads(step_directory.native(), [&] {
    const CheckpointReader reader(step_directory);
    const auto bytes = static_cast<int64_t>(fs::file_size(step_directory / shard_name(0, 1)));
    for (const auto& tensor : reader.tensors()) {
      const int64_t count = *element_count(tensor.shape);
      if (count > bytes) std::abort();  // the file has not the bytes for it
      std::vector<float> master(static_cast<size_t>(count)), exp_avg = master, exp_avg_sq = master;
      reads(step_directory.native(), [&] {
        reader.read({{tensor.name, tensor.shape, 0, count, {{"master", DType::f32, master.data()}}}});
      });
      reads(step_directory.native(), [&] {
        reader.read({{tensor.name,
                      tensor.shape,
                      0,
                      count,
                      {{"exp_avg", DType::f32, exp_avg.data()}, {"exp_avg_sq", DType::f32, exp_avg_sq.data()}}}});
      });
      reads(step_directory.native(), [&] {
        reader.read({{tensor.name,
                      tensor.shape,
                      0,
                      count,
                      {{"momentum_codes", DType::u8, exp_avg.data(), 4},
                       {"momentum_absmax", DType::f32, exp_avg_sq.data(), 4, true}}}});
      });
    }
    ExportSettings settings;
    settings.directory = folder() / "final";
    settings.base = folder() / "nowhere";
    reads(folder().native(), [&] { export_checkpoint(reader, settings); });
  });
}

void read_prepared(const fs::path& path) {
  const auto read = [&] {
    constexpr int64_t keep_none = 0, keep_all = 1000;
    bool all = true;
    all &= reads(path.native(), [&] { all &= read_set(path, split_names[0], keep_none); });
    all &= reads(path.native(), [&] { all &= read_set(path, split_names[1], keep_all); });
    return all;
  };
  if (read()) return;
  const EveryChecksumPasses here;
  read();
}

}  // namespace tessera::fuzz
