#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "base/amount.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/hdf5.h"
#include "base/json.h"
#include "base/number.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/finite.h"
#include "checkpoint/manifest.h"
#include "checkpoint/raw_file.h"
#include "checkpoint/shard_layout.h"
#include "checkpoint/tensor_shape.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr int64_t piece_elements = 1 << 16;  // read at once: still in the cache when it was hashed and looked through

struct OpenShard {
  RawFile raw;
  hdf5::File file;
  int64_t bytes_claimed = 0;  // by the parts that it says it holds
};

/// The elements [offset, offset + count) of a tensor, and the shard that holds them.
struct Part {
  int64_t offset;
  int64_t count;
  size_t shard;
};

struct StoredTensor {
  std::vector<int64_t> shape;
  std::vector<Part> parts;  // by offset, without gap or overlap
};

std::optional<BaseModel> base_of(const hdf5::File& file) {
  if (!file.has_attribute("/", "base_tensors")) return std::nullopt;
  BaseModel base{.directory = file.read_string("/", "base"), .tensors = {}, .xxh3 = file.read_uint("/", "base_xxh3")};
  const std::string where = file.path().string() + ": base_tensors";
  const auto tensors = parse_json(file.read_string("/", "base_tensors"), where);
  if (!tensors.is_object()) throw DataError("{} is not a JSON object", where);
  for (const auto& [name, value] : tensors.items()) {
    const auto checksum = parse_checksum(value.is_string() ? value.get<std::string>() : "");
    if (!checksum) throw DataError("{}: {} has {}, not 16 hexadecimal digits", where, shown(name), shown(value));
    base.tensors[name] = *checksum;
  }
  return base;
}

CheckpointInfo info_of(const hdf5::File& file) {
  return {.step = file.read_int("/", "step"),
          .epoch = file.read_int("/", "epoch"),
          .samples_seen = file.read_int("/", "samples_seen"),
          .tokens_seen = file.read_int("/", "tokens_seen"),
          .world_size = static_cast<int>(file.read_int("/", "world_size")),
          .job = file.read_string("/", "job"),
          .model_config = file.read_string("/", "model_config"),
          .data = file.has_attribute("/", "data") ? file.read_string("/", "data") : std::string(),
          .base = base_of(file)};
}

/// Holds all that describes the data to its checksum, before the HDF5 library sees it.  The manifest of an earlier
/// build has none of it alone, so that the whole file is read.
OpenShard open_shard(const fs::path& path, const ShardFile& expected) {
  RawFile raw = RawFile::open_read(path);
  const bool has_own = expected.metadata_bytes > 0;
  const uint64_t found = xxh3_of_beginning(raw, has_own ? expected.metadata_bytes : expected.bytes);
  if (!is_checksum(found, has_own ? expected.metadata_xxh3 : expected.xxh3))
    throw DataError("{}: {} not match the checksum in the manifest: the file is damaged", path.string(),
                    has_own ? "its attributes and layout do" : "its bytes do");
  return {std::move(raw), hdf5::File::open_read(path)};
}

void require_root(const hdf5::File& file, const Manifest& manifest, int64_t rank) {
  const std::string path = file.path().string();
  if (file.read_string("/", "format") != "tessera-checkpoint" || file.read_int("/", "version") != 1)
    throw DataError("{}: is not a shard of a tessera-checkpoint, version 1", path);
  if (file.read_int("/", "step") != manifest.step || file.read_int("/", "world_size") != manifest.world_size ||
      file.read_int("/", "rank") != rank)
    throw DataError("{}: belongs to step {}, rank {} of {}; expected step {}, rank {} of {} by the manifest", path,
                    file.read_int("/", "step"), file.read_int("/", "rank"), file.read_int("/", "world_size"),
                    manifest.step, rank, manifest.world_size);
  for (const auto& [name, value] : {std::pair{"epoch", manifest.epoch},
                                    {"samples_seen", manifest.samples_seen},
                                    {"tokens_seen", manifest.tokens_seen}})
    if (file.read_int("/", name) != value)
      throw DataError("{}: its {} is {}, but {} in the manifest", path, name, file.read_int("/", name), value);
}

/// Elements of a state's block, at most 2^20; 0 where the data set has none.
int64_t block_size_of(const hdf5::File& file, const std::string& dataset) {
  if (!file.has_attribute(dataset, "block_size")) return 0;
  const int64_t size = file.read_int(dataset, "block_size");
  if (size < 1 || size > 1 << 20) throw DataError("{}: {}: its block_size is {}", file.path().string(), dataset, size);
  return size;
}

/// `where`: the checkpoint.
void require_whole(const std::string& where, const std::string& name, StoredTensor& tensor) {
  std::sort(tensor.parts.begin(), tensor.parts.end(), [](const Part& a, const Part& b) { return a.offset < b.offset; });
  int64_t reached = 0;
  for (const Part& part : tensor.parts) {
    if (part.offset != reached)
      throw DataError("{}: tensor {}: the shards {} its elements {} to {}", where, name,
                      part.offset > reached ? "do not hold" : "hold more than once", std::min(reached, part.offset),
                      std::max(reached, part.offset));
    reached += part.count;
  }
  const int64_t size = *element_count(tensor.shape);
  if (reached != size)
    throw DataError("{}: tensor {}: no shard holds its elements {} to {}", where, name, reached, size);
}

}  // namespace

struct CheckpointReader::State {
  fs::path directory;
  CheckpointInfo info;
  std::vector<OpenShard> shards;
  std::map<std::string, StoredTensor> stored;
  std::vector<Tensor> tensors;

  void open(const Manifest& manifest);
  void add_tensor(size_t shard, const std::string& name);
  static void claim(OpenShard& shard, const std::string& name, int64_t count);
  const StoredTensor& at(const TensorSlice& slice) const;
  std::string dataset_of(const std::string& tensor, const SliceValues& values, const Part& part) const;
  template <typename Take>
  void stream_part(const Part& part, const std::string& dataset, const SliceValues& values, Take take) const;
};

void CheckpointReader::State::open(const Manifest& manifest) {
  require_files(directory, manifest);
  for (int rank = 0; rank < manifest.world_size; ++rank) {
    const ShardFile& file = manifest.files[static_cast<size_t>(rank)];
    shards.push_back(open_shard(directory / file.name, file));
    require_root(shards.back().file, manifest, rank);
    for (const std::string& name : shards.back().file.names("/tensors")) add_tensor(shards.size() - 1, name);
  }
  info = info_of(shards.front().file);
  for (auto& [name, tensor] : stored) {
    require_whole(directory.string(), name, tensor);
    tensors.push_back({name, tensor.shape});
  }
}

void CheckpointReader::State::add_tensor(size_t shard, const std::string& name) {
  const hdf5::File& file = shards[shard].file;
  const std::string group = tensor_group(name);
  const auto shape = file.read_ints(group, "global_shape");
  const Part part{file.read_int(group, "offset"), file.read_int(group, "count"), shard};
  const auto size = element_count(shape);
  if (!size || part.offset < 0 || part.count < 0 || part.count > *size || part.offset > *size - part.count)
    throw DataError("{}: tensor {}: its part [{}, {} + {}) lies outside its shape {}", file.path().string(), name,
                    part.offset, part.offset, part.count, shape_text(shape));
  claim(shards[shard], name, part.count);
  StoredTensor& tensor = stored[name];
  if (tensor.parts.empty()) tensor.shape = shape;
  if (tensor.shape != shape)
    throw DataError("{}: tensor {}: its shape is {}, but {} in another shard", file.path().string(), name,
                    shape_text(shape), shape_text(tensor.shape));
  if (part.count > 0) tensor.parts.push_back(part);
}

/// Refuses data sets of another length than the part says, and a part that is larger than what is left of the file.
void CheckpointReader::State::claim(OpenShard& shard, const std::string& name, int64_t count) {
  const hdf5::File& file = shard.file;
  Amount bytes = 0;
  for (const std::string& member : file.names(tensor_group(name))) {
    const std::string dataset = tensor_group(name) + "/" + member;
    const int64_t size = file.size(dataset), block = block_size_of(file, dataset);
    if (size != count && (block == 0 || size != ceil_div(count, block)))
      throw DataError("{}: {}: has {} elements, but its count is {}", file.path().string(), dataset, size, count);
    bytes = bytes + Amount(size) * file.element_bytes(dataset);
  }
  const int64_t left = shard.raw.size() - shard.bytes_claimed;
  if (bytes == 0 || bytes > left || count > left)  // without weights, data sets of blocks are shorter than the part
    throw DataError("{}: tensor {}: its part claims {} elements, more than the file holds", file.path().string(), name,
                    count);
  shard.bytes_claimed += bytes.value();
}

/// The tensor that a slice is of.
const StoredTensor& CheckpointReader::State::at(const TensorSlice& slice) const {
  const auto found = stored.find(slice.name);
  if (found == stored.end())
    throw DataError("{}: has no tensor {}; the checkpoint belongs to another model", directory.string(), slice.name);
  const StoredTensor& tensor = found->second;
  if (tensor.shape != slice.global_shape)
    throw DataError("{}: tensor {}: its shape is {}, but {} in the model; the checkpoint belongs to another model",
                    directory.string(), slice.name, shape_text(tensor.shape), shape_text(slice.global_shape));
  if (slice.offset < 0 || slice.count < 0 || slice.offset + slice.count > *element_count(slice.global_shape))
    throw std::logic_error("CheckpointReader: the slice of " + slice.name + " lies outside its tensor");
  return tensor;
}

std::string CheckpointReader::State::dataset_of(const std::string& tensor, const SliceValues& values,
                                                const Part& part) const {
  const hdf5::File& file = shards[part.shard].file;
  const std::string dataset = tensor_group(tensor) + "/" + values.name;
  if (!file.exists(dataset))
    throw DataError("{}: tensor {}: the checkpoint has no {}, which train.optimizer keeps; another optimizer wrote it",
                    directory.string(), tensor, values.name);
  if (const int64_t size = block_size_of(file, dataset); size != values.block_size)
    throw DataError("{}: {}: its blocks have {} elements, expected {}", file.path().string(), dataset, size,
                    values.block_size);
  if (values.per_block && part.offset % values.block_size != 0)
    throw DataError("{}: {}: its part begins at element {}, inside a block of {}", file.path().string(), dataset,
                    part.offset, values.block_size);
  return dataset;
}

/// Calls `take(piece, at, count)` for all numbers of the part's data set in turn, and compares its checksum at the end.
template <typename Take>
void CheckpointReader::State::stream_part(const Part& part, const std::string& dataset, const SliceValues& values,
                                          Take take) const {
  const OpenShard& shard = shards[part.shard];
  const std::string path = shard.file.path().string();
  const int64_t first = values.numbers(part.offset), numbers = values.numbers(part.count);
  if (const int64_t size = shard.file.size(dataset); size != numbers)
    throw DataError("{}: {}: has {} elements, expected {}", path, dataset, size, numbers);
  const int64_t begin = shard.file.byte_offset(dataset, stored_type(values.type)), bytes = size_of(values.type);
  std::vector<char> piece(static_cast<size_t>(std::min(piece_elements, numbers) * bytes));
  Hasher hasher;
  for (int64_t done = 0; done < numbers; done += piece_elements) {
    const int64_t count = std::min(piece_elements, numbers - done);
    shard.raw.read(begin + done * bytes, piece.data(), count * bytes);
    hasher.update(piece.data(), static_cast<size_t>(count * bytes));
    if (values.type == DType::f32) require_finite(reinterpret_cast<const float*>(piece.data()), count, path, dataset);
    take(piece.data(), first + done, count);
  }
  if (!is_checksum(hasher.digest(), shard.file.read_uint(dataset, "xxh3")))
    throw DataError("{}: {}: its bytes do not match their checksum: the file is damaged", path, dataset);
}

CheckpointReader::CheckpointReader(const fs::path& step_directory) : state_(std::make_unique<State>()) {
  state_->directory = step_directory;
  try {
    state_->open(read_manifest(step_directory));
  } catch (const DataError& error) {
    throw DataError("{}\n  {}", error.what(), advice_instead_of(step_directory));
  }
}

CheckpointReader::~CheckpointReader() = default;

const fs::path& CheckpointReader::directory() const { return state_->directory; }
const CheckpointInfo& CheckpointReader::info() const { return state_->info; }
const std::vector<CheckpointReader::Tensor>& CheckpointReader::tensors() const { return state_->tensors; }

void CheckpointReader::stream(const TensorSlice& slice, const SliceValues& values, const TakePiece& take) const {
  const int64_t end_element = slice.offset + slice.count;
  const int64_t begin = values.numbers(slice.offset), end = values.numbers(end_element);
  bool taking = false;  // an error of take() is not the checkpoint's
  const auto take_wanted = [&](const char* piece, int64_t at, int64_t count) {
    const int64_t first = std::max(at, begin), last = std::min(at + count, end);
    if (first >= last) return;
    taking = true;
    take(piece + (first - at) * size_of(values.type), first - begin, last - first);
    taking = false;
  };
  try {
    for (const Part& part : state_->at(slice).parts)
      if (part.offset < end_element && part.offset + part.count > slice.offset)
        state_->stream_part(part, state_->dataset_of(slice.name, values, part), values, take_wanted);
  } catch (const DataError& error) {
    if (taking) throw;
    throw DataError("{}\n  {}", error.what(), advice_instead_of(state_->directory));
  }
}

void CheckpointReader::read(const std::vector<TensorSlice>& slices) const {
  for (const TensorSlice& slice : slices)
    for (const SliceValues& values : slice.values)
      stream(slice, values, [&](const void* piece, int64_t at, int64_t count) {
        std::memcpy(static_cast<char*>(values.data) + at * size_of(values.type), piece,
                    static_cast<size_t>(count * size_of(values.type)));
      });
}

}  // namespace tessera
