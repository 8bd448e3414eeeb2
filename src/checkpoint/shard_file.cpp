#include <algorithm>
#include <bit>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/hdf5.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/raw_file.h"
#include "checkpoint/rotation.h"
#include "checkpoint/shard_layout.h"
#include "checkpoint/tensor_shape.h"

// A shard is written in two parts: HDF5 lays the file out (groups, attributes, room for the data), then the data are
// written into that room with plain pwrite.  So HDF5's one lock is never held for long, and training reads its data on.
namespace tessera {
namespace {

namespace fs = std::filesystem;
static_assert(std::endian::native == std::endian::little, "the format's floats are little-endian");

void require_usable(const TensorSlice& slice) {
  const auto size = element_count(slice.global_shape);
  if (!size || slice.offset < 0 || slice.count < 0 || slice.count > *size || slice.offset > *size - slice.count)
    throw std::logic_error("write_shard: the slice of " + slice.name + " lies outside its tensor");
  if (slice.values.empty() || slice.values.front().name != master_dataset)
    throw std::logic_error("write_shard: " + slice.name + " has no weights");
  for (const SliceValues& values : slice.values)
    if (slice.count > 0 && values.data == nullptr)
      throw std::logic_error("write_shard: " + slice.name + " has no " + values.name);
}

void write_base(hdf5::File& file, const BaseModel& base) {
  nlohmann::json tensors = nlohmann::json::object();
  for (const auto& [name, checksum] : base.tensors) tensors[name] = checksum_text(checksum);
  file.write_attribute("/", "base", base.directory);
  file.write_attribute("/", "base_tensors", tensors.dump());
  file.write_attribute("/", "base_xxh3", base.xxh3);
}

void write_root(hdf5::File& file, const CheckpointInfo& info, int rank) {
  file.write_attribute("/", "format", std::string_view("tessera-checkpoint"));
  file.write_attribute("/", "version", int64_t{1});
  file.write_attribute("/", "step", info.step);
  file.write_attribute("/", "epoch", info.epoch);
  file.write_attribute("/", "samples_seen", info.samples_seen);
  file.write_attribute("/", "tokens_seen", info.tokens_seen);
  file.write_attribute("/", "world_size", int64_t{info.world_size});
  file.write_attribute("/", "rank", int64_t{rank});
  file.write_attribute("/", "job", info.job);
  file.write_attribute("/", "model_config", info.model_config);
  file.write_attribute("/", "data", info.data);
  if (info.base) write_base(file, *info.base);
  file.create_group("/tensors");
}

struct Room {
  int64_t byte_offset;
  const void* data;
  int64_t bytes;
};

void lay_out_tensor(hdf5::File& file, const TensorSlice& slice) {
  const std::string group = tensor_group(slice.name);
  file.create_group(group);
  file.write_attribute(group, "global_shape", slice.global_shape);
  file.write_attribute(group, "offset", slice.offset);
  file.write_attribute(group, "count", slice.count);
  for (const SliceValues& values : slice.values) {
    const std::string dataset = group + "/" + values.name;
    file.create_contiguous(dataset, stored_type(values.type), values.numbers(slice.count));
    if (values.block_size > 0) file.write_attribute(dataset, "block_size", values.block_size);
    file.write_attribute(dataset, "xxh3", xxh3(values.data, static_cast<size_t>(values.bytes(slice.count))));
  }
}

/// Room for all data behind all metadata, so that one checksum over the file's beginning is one over all that describes
/// the data.
std::vector<Room> lay_out(const fs::path& path, const CheckpointInfo& info, int rank,
                          const std::vector<TensorSlice>& slices) {
  auto file = hdf5::File::create(path);
  write_root(file, info, rank);
  for (const TensorSlice& slice : slices)
    if (slice.count > 0) lay_out_tensor(file, slice);
  file.flush();
  std::vector<Room> rooms;
  for (const TensorSlice& slice : slices)
    for (const SliceValues& values : slice.values)
      if (slice.count > 0)
        rooms.push_back(
            {file.allocate(tensor_group(slice.name) + "/" + values.name), values.data, values.bytes(slice.count)});
  file.close();
  return rooms;
}

/// Where the rooms begin, if they follow each other without a gap to the end of the file; 0 where a version of the HDF5
/// library has put something else between or behind them, so that readers hold the whole file to its checksum.
int64_t metadata_bytes(const std::vector<Room>& rooms, int64_t file_bytes) {
  if (rooms.empty()) return file_bytes;
  int64_t end = rooms.front().byte_offset;
  for (const Room& room : rooms)
    if (std::exchange(end, room.byte_offset + room.bytes) != room.byte_offset) return 0;
  return end == file_bytes ? rooms.front().byte_offset : 0;
}

ShardFile write_file(const fs::path& path, const CheckpointInfo& info, int rank,
                     const std::vector<TensorSlice>& slices) {
  const std::vector<Room> rooms = lay_out(path, info, rank, slices);
  RawFile file = RawFile::open_write(path);
  for (const Room& room : rooms) file.write(room.byte_offset, room.data, room.bytes);
  const int64_t bytes = file.size();
  file.sync_and_close();
  sync_folder(path.parent_path());
  const int64_t metadata = metadata_bytes(rooms, bytes);
  Hasher hasher;
  hasher.update_file(path);
  return {.name = path.filename().string(),
          .bytes = bytes,
          .xxh3 = hasher.digest(),
          .metadata_bytes = metadata,
          .metadata_xxh3 = xxh3_of_beginning(RawFile::open_read(path), metadata)};
}

std::string free_space_text(const fs::path& directory) {
  std::error_code error;
  const auto space = fs::space(directory, error);
  return error ? "" : fmt::format(", {} are free", space.available);
}

}  // namespace

ShardFile write_shard(const fs::path& step_directory, const CheckpointInfo& info, int rank,
                      const std::vector<TensorSlice>& slices) {
  int64_t needed = 0;
  for (const TensorSlice& slice : slices) {
    require_usable(slice);
    for (const SliceValues& values : slice.values) needed += values.bytes(slice.count);
  }
  const fs::path path = step_directory / shard_name(rank, info.world_size);
  try {
    prepare_step_directory(step_directory, info.world_size);
    return write_file(path, info, rank, slices);
  } catch (const std::exception& error) {
    const std::string space = free_space_text(step_directory);
    std::error_code nothing_there;
    fs::remove(path, nothing_there);  // half a shard would only keep the disk full
    throw DataError(
        "the checkpoint of step {} was not saved: {}\n  The shard needs {} bytes{}.  Free space, lower "
        "checkpoint.save_total_limit, or move job.output_dir. Earlier checkpoints are untouched.",
        info.step, error.what(), needed, space);
  }
}

}  // namespace tessera
