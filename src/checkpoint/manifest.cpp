#include "checkpoint/manifest.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/number.h"
#include "checkpoint/raw_file.h"
#include "checkpoint/rotation.h"

namespace tessera {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int64_t format_version = 1;
constexpr int64_t longest_latest = 4096;  // bytes; it holds a name

json as_json(const CheckpointInfo& info, const std::vector<ShardFile>& shards) {
  json files = json::array();
  for (const ShardFile& shard : shards) {
    json file = {{"name", shard.name}, {"bytes", shard.bytes}, {"xxh3", checksum_text(shard.xxh3)}};
    if (shard.metadata_bytes > 0) {
      file["metadata_bytes"] = shard.metadata_bytes;
      file["metadata_xxh3"] = checksum_text(shard.metadata_xxh3);
    }
    files.push_back(std::move(file));
  }
  return {{"format", "tessera-checkpoint"},
          {"version", format_version},
          {"step", info.step},
          {"epoch", info.epoch},
          {"samples_seen", info.samples_seen},
          {"tokens_seen", info.tokens_seen},
          {"world_size", info.world_size},
          {"files", std::move(files)}};
}

const json& member(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (found == object.end()) throw DataError("it has no {}", key);
  return *found;
}

int64_t count_from(const json& object, const char* key) {
  const json& value = member(object, key);
  const auto number = whole_number(value);
  if (!number || *number < 0) throw DataError("its {} is {}, not a count", key, shown(value));
  return *number;
}

uint64_t checksum_from(const json& object, const char* key) {
  const json& value = member(object, key);
  const auto checksum = parse_checksum(value.is_string() ? value.get<std::string>() : "");
  if (!checksum) throw DataError("its {} is {}, not 16 hexadecimal digits", key, shown(value));
  return *checksum;
}

ShardFile shard_file_from(const json& entry) {
  const json& name = member(entry, "name");
  if (!name.is_string()) throw DataError("its name is {}, not a string", shown(name));
  ShardFile file{.name = name, .bytes = count_from(entry, "bytes"), .xxh3 = checksum_from(entry, "xxh3")};
  if (!entry.contains("metadata_bytes") && !entry.contains("metadata_xxh3")) return file;  // of an earlier build
  file.metadata_bytes = count_from(entry, "metadata_bytes");
  file.metadata_xxh3 = checksum_from(entry, "metadata_xxh3");
  if (file.metadata_bytes < 1 || file.metadata_bytes > file.bytes)
    throw DataError("its metadata_bytes is {}, of {} bytes in the file", file.metadata_bytes, file.bytes);
  return file;
}

Manifest manifest_from(const json& text) {
  const json& format = member(text, "format");
  if (format != "tessera-checkpoint") throw DataError("its format is {}", shown(format));
  const json& version = member(text, "version");
  if (version != format_version)
    throw DataError("its version is {}; this program reads version {}", shown(version), format_version);
  Manifest manifest{.step = count_from(text, "step"),
                    .epoch = count_from(text, "epoch"),
                    .samples_seen = count_from(text, "samples_seen"),
                    .tokens_seen = count_from(text, "tokens_seen"),
                    .world_size = 0,
                    .files = {}};
  const json& files = member(text, "files");
  const int64_t world_size = count_from(text, "world_size");
  if (!files.is_array() || world_size < 1 || static_cast<int64_t>(files.size()) != world_size)
    throw DataError("it lists {} files for a world size of {}", files.is_array() ? files.size() : 0, world_size);
  manifest.world_size = narrow<int>(world_size);  // as many as there are entries
  std::vector<std::optional<ShardFile>> by_rank(files.size());
  std::map<std::string, size_t> rank_of;
  for (int rank = 0; rank < manifest.world_size; ++rank)
    rank_of[shard_name(rank, manifest.world_size)] = static_cast<size_t>(rank);
  for (const json& entry : files) {
    ShardFile file = shard_file_from(entry);
    const auto rank = rank_of.find(file.name);
    if (rank == rank_of.end())
      throw DataError("it lists {}, which is not a shard name for a world size of {}", shown(file.name), world_size);
    if (by_rank[rank->second]) throw DataError("it lists {} twice", file.name);
    by_rank[rank->second] = std::move(file);
  }
  for (auto& file : by_rank) manifest.files.push_back(std::move(*file));
  return manifest;
}

/// Anything at the manifest's name makes it one, so that damage is reported, not ignored. A linked directory is not
/// output_dir's own.
bool is_checkpoint(const fs::path& directory) {
  return step_of(directory) && type_of(directory) == fs::file_type::directory &&
         type_of(manifest_path(directory)) != fs::file_type::not_found;
}

bool is_whole(const fs::path& step_directory) {
  try {
    require_files(step_directory, read_manifest(step_directory));
    return true;
  } catch (const DataError&) {
    return false;  // that it cannot be used is the answer
  }
}

}  // namespace

fs::path step_directory(const fs::path& output_dir, int64_t step) {
  return output_dir / "checkpoints" / fmt::format("step-{:06}", step);
}

std::string shard_name(int rank, int world_size) { return fmt::format("shard-{:05}-of-{:05}.h5", rank, world_size); }

fs::path manifest_path(const fs::path& step_directory) { return step_directory / "manifest.json"; }

Manifest read_manifest(const fs::path& step_directory) {
  const fs::path path = manifest_path(step_directory);
  if (!is_there(path))
    throw DataError("{}: is not a complete checkpoint: it has no manifest.json", step_directory.string());
  const json text = read_json(path);
  try {
    return manifest_from(text);
  } catch (const DataError& error) {
    throw DataError("{}: cannot be used: {}", path.string(), error.what());
  }
}

void require_files(const fs::path& step_directory, const Manifest& manifest) {
  for (const ShardFile& file : manifest.files) {
    const fs::path path = step_directory / file.name;
    if (!is_there(path)) throw DataError("{}: this shard is missing", path.string());
    // Opened, not only looked at: on a network file system that is what fetches the size another host has written.
    const int64_t bytes = RawFile::open_read(path).size();
    if (bytes != file.bytes)
      throw DataError("{}: has {} bytes, but {} in the manifest: it was truncated or overwritten", path.string(), bytes,
                      file.bytes);
  }
}

std::optional<int64_t> step_of(const fs::path& directory) {
  const std::string name = directory.filename().string();
  if (!name.starts_with("step-")) return std::nullopt;
  int64_t step = 0;
  const char* const last = name.data() + name.size();
  const auto [end, error] = std::from_chars(name.data() + 5, last, step);
  if (error != std::errc() || end != last || step < 0 || step_directory("", step).filename() != name)
    return std::nullopt;
  return step;
}

std::vector<fs::path> checkpoints_in(const fs::path& checkpoints) {
  std::vector<fs::path> found;
  if (!is_folder(checkpoints)) return found;
  for (const auto& entry : fs::directory_iterator(checkpoints))
    if (is_checkpoint(entry.path())) found.push_back(entry.path());
  std::sort(found.begin(), found.end(), [](const fs::path& a, const fs::path& b) { return step_of(a) < step_of(b); });
  return found;
}

std::string advice_instead_of(const fs::path& step_directory) {
  const auto own = step_of(step_directory);
  const auto all = checkpoints_in(fs::absolute(step_directory).parent_path());
  std::vector<fs::path> others;
  std::copy_if(all.begin(), all.end(), std::back_inserter(others),
               [&](const fs::path& other) { return other.filename() != step_directory.filename() && is_whole(other); });
  if (others.empty())
    return "There is no other complete checkpoint: restore it from a copy, or start from the beginning with "
           "checkpoint.resume = never";
  // The newest before it, else the first one after it.
  const auto after =
      std::find_if(others.begin(), others.end(), [&](const fs::path& other) { return step_of(other) > own; });
  const fs::path& best = after == others.begin() ? *after : *std::prev(after);
  return fmt::format("Restore it from a copy, or resume from the complete checkpoint {} with checkpoint.resume = {}",
                     best.filename().string(), best.string());
}

void commit_checkpoint(const fs::path& output_dir, const CheckpointInfo& info, const std::vector<ShardFile>& shards,
                       int64_t save_total_limit) {
  const fs::path own = step_directory(output_dir, info.step);
  const json text = as_json(info, shards);
  require_files(own, manifest_from(text));
  write_text_durably(manifest_path(own), text.dump(1) + "\n");
  write_text_durably(own.parent_path() / "latest", own.filename().string() + "\n");
  remove_beyond_limit(own, save_total_limit);
}

std::optional<fs::path> find_latest_checkpoint(const fs::path& output_dir) {
  const fs::path checkpoints = output_dir / "checkpoints";
  if (is_there(checkpoints / "latest")) {
    std::string name = read_text(checkpoints / "latest", longest_latest);
    name.erase(name.find_last_not_of(" \r\n") + 1);
    const fs::path named = checkpoints / name;
    if (named.parent_path() == checkpoints && step_of(named)) {
      if (type_of(named) == fs::file_type::symlink)
        throw DataError(
            "{}: is a symbolic link, which checkpoint.resume = auto does not follow; to resume from its target, set "
            "checkpoint.resume to the target's path",
            named.string());
      if (is_checkpoint(named)) return named;
    }
  }
  const auto all = checkpoints_in(checkpoints);
  if (all.empty()) return std::nullopt;
  return all.back();
}

}  // namespace tessera
