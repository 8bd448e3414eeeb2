#include <fmt/format.h>

#include "base/error.h"
#include "base/hash.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/manifest.h"
#include "checkpoint/tensor_shape.h"

namespace tessera {
namespace {

std::string checked_file(const std::filesystem::path& directory, const ShardFile& file) {
  Hasher hasher;
  hasher.update_file(directory / file.name);
  if (!is_checksum(hasher.digest(), file.xxh3))
    throw DataError("{}: its bytes do not match the checksum in the manifest: the file is damaged\n  {}",
                    (directory / file.name).string(), advice_instead_of(directory));
  return fmt::format("  {}  {} bytes, checksum right\n", file.name, file.bytes);
}

}  // namespace

std::string describe_checkpoint(const std::filesystem::path& step_directory) {
  const CheckpointReader reader(step_directory);
  const CheckpointInfo& info = reader.info();
  std::string files, tensors;
  int64_t bytes = 0, parameters = 0;
  for (const ShardFile& file : read_manifest(step_directory).files) {
    files += checked_file(step_directory, file);
    bytes += file.bytes;
  }
  for (const auto& tensor : reader.tensors()) {
    tensors += fmt::format("  {}  {}\n", tensor.name, shape_text(tensor.shape));
    parameters += *element_count(tensor.shape);
  }
  return fmt::format(
      "{}: complete checkpoint\nstep {}, epoch {}, {} samples and {} tokens seen\nwritten by {} rank{}, {} bytes in "
      "total\n{}"
      "{} tensors, {} parameters, each held exactly once\n{}",
      step_directory.string(), info.step, info.epoch, info.samples_seen, info.tokens_seen, info.world_size,
      info.world_size == 1 ? "" : "s", bytes, files, reader.tensors().size(), parameters, tensors);
}

}  // namespace tessera
