#include "checkpoint/manifest.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/raw_file.h"

namespace tessera {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int64_t format_version = 1;

json as_json(const CheckpointInfo& info, const std::vector<ShardFile>& shards) {
  json files = json::array();
  for (const ShardFile& shard : shards)
    files.push_back({{"name", shard.name}, {"bytes", shard.bytes}, {"xxh3", fmt::format("{:016x}", shard.xxh3)}});
  return {{"format", "tessera-checkpoint"},
          {"version", format_version},
          {"step", info.step},
          {"epoch", info.epoch},
          {"samples_seen", info.samples_seen},
          {"tokens_seen", info.tokens_seen},
          {"world_size", info.world_size},
          {"files", std::move(files)}};
}

ShardFile shard_file_from(const json& entry) {
  ShardFile file{.name = entry.at("name"), .bytes = entry.at("bytes"), .xxh3 = 0};
  const std::string hex = entry.at("xxh3");
  const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), file.xxh3, 16);
  if (error != std::errc() || end != hex.data() + hex.size() || hex.size() != 16)
    throw DataError("the checksum of {} is not 16 hexadecimal digits", file.name);
  if (fs::path(file.name).filename() != file.name) throw DataError("{} is not the name of a file beside it", file.name);
  return file;
}

Manifest manifest_from(const json& text) {
  if (text.at("format") != "tessera-checkpoint") throw DataError("its format is {}", text.at("format").dump());
  if (text.at("version") != format_version)
    throw DataError("its version is {}, this program reads {}", text.at("version").dump(), format_version);
  Manifest manifest{.step = text.at("step"), .world_size = text.at("world_size"), .files = {}};
  std::set<std::string> names;
  for (const json& entry : text.at("files")) {
    manifest.files.push_back(shard_file_from(entry));
    if (!names.insert(manifest.files.back().name).second)
      throw DataError("it names {} twice", manifest.files.back().name);
  }
  if (manifest.world_size < 1 || static_cast<int64_t>(manifest.files.size()) != manifest.world_size)
    throw DataError("it names {} files for a world size of {}", manifest.files.size(), manifest.world_size);
  return manifest;
}

bool is_whole(const fs::path& step_directory) {
  try {
    require_files(step_directory, read_manifest(step_directory));
    return true;
  } catch (const DataError&) {
    return false;  // that it cannot be used is the answer
  }
}

/// Without its manifest a directory is no checkpoint, so a crash between these lines leaves nothing that poses as one.
void remove_checkpoint(const fs::path& step_directory) {
  fs::remove(manifest_path(step_directory));
  sync_folder(step_directory);
  fs::remove_all(step_directory);
}

void remove_beyond_limit(const fs::path& own, int64_t save_total_limit) {
  if (save_total_limit <= 0) return;
  const auto all = checkpoints_in(own.parent_path());
  int64_t surplus = static_cast<int64_t>(all.size()) - save_total_limit;
  for (const fs::path& old : all) {
    if (surplus <= 0) return;
    if (old.filename() == own.filename()) continue;
    remove_checkpoint(old);
    --surplus;
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
  if (!fs::exists(path))
    throw DataError("{}: there is no manifest.json, so this is not a complete checkpoint", step_directory.string());
  try {
    return manifest_from(json::parse(read_text(path)));
  } catch (const json::exception& error) {
    throw DataError("{}: is damaged: {}", path.string(), error.what());
  } catch (const DataError& error) {
    throw DataError("{}: cannot be used: {}", path.string(), error.what());
  }
}

void require_files(const fs::path& step_directory, const Manifest& manifest) {
  for (const ShardFile& file : manifest.files) {
    const fs::path path = step_directory / file.name;
    if (!fs::exists(path)) throw DataError("{}: this shard is missing", path.string());
    // Opened, not only looked at: on a network file system that is what fetches the size another host has written.
    const int64_t bytes = RawFile::open_read(path).size();
    if (bytes != file.bytes)
      throw DataError("{}: has {} bytes, the manifest says {}: it was cut or written over", path.string(), bytes,
                      file.bytes);
  }
}

std::optional<int64_t> step_of(const fs::path& step_directory) {
  const std::string name = step_directory.filename().string();
  if (!name.starts_with("step-")) return std::nullopt;
  int64_t step = 0;
  const char* const last = name.data() + name.size();
  const auto [end, error] = std::from_chars(name.data() + 5, last, step);
  if (error != std::errc() || end != last || step < 0) return std::nullopt;
  return step;
}

std::vector<fs::path> checkpoints_in(const fs::path& checkpoints) {
  std::vector<fs::path> found;
  if (!fs::is_directory(checkpoints)) return found;
  for (const auto& entry : fs::directory_iterator(checkpoints))
    if (entry.is_directory() && step_of(entry.path()) && fs::exists(manifest_path(entry.path())))
      found.push_back(entry.path());
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
    return "There is no other complete checkpoint beside it: restore it from a copy, or start anew with "
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
  if (fs::exists(checkpoints / "latest")) {
    std::string name = read_text(checkpoints / "latest");
    name.erase(name.find_last_not_of(" \r\n") + 1);
    const fs::path named = checkpoints / name;
    if (step_of(name) && named.parent_path() == checkpoints && fs::exists(manifest_path(named))) return named;
  }
  const auto all = checkpoints_in(checkpoints);
  if (all.empty()) return std::nullopt;
  return all.back();
}

}  // namespace tessera
