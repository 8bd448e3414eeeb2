#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/slice.h"
#include "device/device.h"

/// The checkpoint room: HDF5 shards, their manifest, reading them on any number of ranks, and Hugging Face directories
/// in and out.  No communication between ranks. docs/checkpoints.md has the format.
namespace tessera {

/// What the trained weights of a checkpoint stand on where others are frozen.
struct BaseModel {
  std::string directory;                    ///< model.base; empty: random weights
  std::map<std::string, uint64_t> tensors;  ///< the checksum of each that is frozen
  uint64_t xxh3 = 0;                        ///< over their names, shapes and checksums
};

struct CheckpointInfo {
  int64_t step = 0;
  int64_t epoch = 0;  ///< epoch of the next sample
  int64_t samples_seen = 0;
  int64_t tokens_seen = 0;
  int world_size = 1;
  std::string job;                     ///< resolved text
  std::string model_config;            ///< config.json's text
  std::string data;                    ///< PreparedSet::key() of the samples; empty in files from before it was written
  std::optional<BaseModel> base = {};  ///< nothing where all is trained
};

/// What the manifest says of one shard file.
struct ShardFile {
  std::string name;  ///< shard-00000-of-00004.h5
  int64_t bytes = 0;
  uint64_t xxh3 = 0;  ///< of the whole file
  /// The file begins with this many bytes of metadata, and nothing but the data sets' bytes follows; 0 if unknown, as
  /// in the manifests of earlier builds.
  int64_t metadata_bytes = 0;
  uint64_t metadata_xxh3 = 0;
};

std::filesystem::path step_directory(const std::filesystem::path& output_dir,
                                     int64_t step);  ///< checkpoints/step-000100
std::string shard_name(int rank, int world_size);

/// Writes one rank's shard file and syncs it; the first values of every slice are the weights (master_dataset).  If
/// the directory is already a checkpoint, it stops being one; a link at its name or the shard's is replaced, not
/// followed. Throws DataError (disk full: names path and bytes) and leaves no partial file.
ShardFile write_shard(const std::filesystem::path& step_directory, const CheckpointInfo& info, int rank,
                      const std::vector<TensorSlice>& slices);

/// Rank 0, after every shard is there: manifest.json durably, then `latest`, then removes complete checkpoints beyond
/// save_total_limit (0: none), oldest first; never a link, a directory that is not the checkpoint of the step in its
/// name, files that a save does not write, or `step`'s own. Failure to remove one is a warning.
void commit_checkpoint(const std::filesystem::path& output_dir, const CheckpointInfo& info,
                       const std::vector<ShardFile>& shards, int64_t save_total_limit);

/// The newest complete checkpoint of output_dir (by `latest`; if that names none, by step); nothing if there is none. A
/// linked directory does not count.
std::optional<std::filesystem::path> find_latest_checkpoint(const std::filesystem::path& output_dir);

/// A complete checkpoint, open for reading on any rank.
class CheckpointReader {
 public:
  /// Reads manifest.json, checks that every shard exists with its size, that all of it but the data sets' bytes, which
  /// stream() checks, matches its checksum (in checkpoints of earlier builds: the whole file), and that the shards
  /// cover every tensor whole.  Throws DataError.
  explicit CheckpointReader(const std::filesystem::path& step_directory);
  ~CheckpointReader();

  const std::filesystem::path& directory() const;
  const CheckpointInfo& info() const;
  struct Tensor {
    std::string name;
    std::vector<int64_t> shape;
  };
  const std::vector<Tensor>& tensors() const;

  /// Hands out the values of a slice in pieces, from the first number to the last: `count` of them from the slice's
  /// number `at` on.  Each data set that holds any is read whole, once, and its checksum compared behind its last
  /// piece, so that what was taken is to be thrown away where this throws.  Throws DataError: tensor or values missing,
  /// other shape, checksum, a number in fp32 that is not finite.
  using TakePiece = std::function<void(const void* piece, int64_t at, int64_t count)>;
  void stream(const TensorSlice& slice, const SliceValues& values, const TakePiece& take) const;

  /// Fills the values of the slices, which lie in host memory.  Throws as stream().
  void read(const std::vector<TensorSlice>& slices) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Saves while training continues; the step pauses only for a copy: begin() copies the slices, which lie in memory of
/// `device` or in host memory, into a host snapshot and returns, a thread writes the shard.  At most one save runs;
/// begin() waits for the one before.
class CheckpointWriter {
 public:
  /// `place`: where the slices lie.
  explicit CheckpointWriter(Device& device, Memory place = Memory::device);
  ~CheckpointWriter();  ///< waits for the writer thread

  /// Copies, then writes on the thread; without `async` it returns when that is done, and slices in host memory are
  /// written without a copy.  No stream may be using them.  Waits for the previous save; throws DataError if it failed
  /// and was not acknowledged.
  void begin(const std::filesystem::path& step_directory, const CheckpointInfo& info, int rank,
             const std::vector<TensorSlice>& slices, bool async);
  enum class Status { idle, writing, written, failed };
  Status status() const;            ///< never blocks
  void wait();                      ///< until it is written or failed
  const ShardFile& result() const;  ///< when written
  std::string error() const;        ///< when failed: the message for the user
  void acknowledge();               ///< written or failed → idle
  double pause_seconds() const;     ///< what the last begin() cost the step
  double save_seconds() const;      ///< from begin() to synced

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Describes a complete checkpoint; reads every byte and verifies its checksum. Throws DataError.
std::string describe_checkpoint(const std::filesystem::path& step_directory);

}  // namespace tessera
