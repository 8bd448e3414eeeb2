#include "checkpoint/rotation.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "checkpoint/manifest.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> entries(const fs::path& directory) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error))
    found.push_back(entry->path());
  if (error) throw DataError("{}: cannot be listed: {}", directory.string(), error.message());
  return found;
}

/// shard-RRRRR-of-WWWWW.h5, as shard_name() writes it.
bool is_shard_name(const std::string& name) {
  const auto number_after = [&](std::string_view before) {
    int number = -1;
    if (const size_t at = name.find(before); at != std::string::npos)
      std::from_chars(name.data() + at + before.size(), name.data() + name.size(), number);
    return number;
  };
  return shard_name(number_after("shard-"), number_after("-of-")) == name;
}

bool is_temporary_name(const std::string& name) { return name == manifest_path("").string() + ".tmp"; }

/// Would a save that did not finish leave it?
bool is_leftover(const fs::path& path) {
  const std::string name = path.filename().string();
  return type_of(path) == fs::file_type::regular && (is_shard_name(name) || is_temporary_name(name));
}

/// As files are taken out of a directory that a save has made; the directory itself, where it is empty then.
void remove_files(const fs::path& directory) {
  for (const fs::path& path : entries(directory))
    if (is_leftover(path)) make_way(path);
  std::error_code holds_other_files;  // other files keep the directory
  fs::remove(directory, holds_other_files);
}

/// Without its manifest a directory is no checkpoint, so a crash between these lines leaves nothing that poses as one.
void remove_checkpoint(const fs::path& directory) {
  make_way(manifest_path(directory));
  sync_folder(directory);
  remove_files(directory);
}

/// A manifest of another step was copied there, or is damaged: it is not for us to judge.
bool is_of_its_name(const fs::path& directory) {
  try {
    return read_manifest(directory).step == step_of(directory);
  } catch (const DataError&) {
    return false;
  }
}

/// The new checkpoint is complete whether or not old ones can be removed: failure is a warning, not an error.
template <typename Remove>
void or_warn(const fs::path& directory, Remove remove) {
  try {
    remove(directory);
  } catch (const DataError& error) {
    log::warn("{} cannot be removed: {}", directory.string(), error.what());
  }
}

}  // namespace

void prepare_step_directory(const fs::path& directory, int world_size) {
  std::error_code error;
  fs::create_directories(directory.parent_path(), error);
  if (error) throw DataError("{}: cannot be created: {}", directory.parent_path().string(), error.message());
  // Several ranks run this at the same time: a later one finds the directory of an earlier one.
  if (type_of(directory) == fs::file_type::symlink) ::unlink(directory.c_str());
  if (::mkdir(directory.c_str(), 0777) != 0 && errno != EEXIST)
    throw DataError("{}: cannot be created: {}", directory.string(), std::strerror(errno));
  if (type_of(directory) != fs::file_type::directory)
    throw DataError("{}: is not a directory; move it away so that the checkpoint can be saved", directory.string());

  if (type_of(manifest_path(directory)) != fs::file_type::not_found) {
    make_way(manifest_path(directory));
    sync_folder(directory);
  }
  const std::string our_ending = shard_name(0, world_size).substr(shard_name(0, world_size).find("-of-"));
  for (const fs::path& path : entries(directory))
    if (is_leftover(path) && !path.filename().string().ends_with(our_ending)) make_way(path);
}

void remove_leftovers(const fs::path& own) {
  if (!is_folder(own.parent_path())) return;
  for (const fs::path& directory : entries(own.parent_path())) {
    if (!step_of(directory) || directory.filename() == own.filename()) continue;
    if (type_of(directory) != fs::file_type::directory) continue;
    or_warn(directory, [](const fs::path& candidate) {
      const auto inside = entries(candidate);  // a manifest, or anything else that is not a save's, keeps all of it
      if (std::all_of(inside.begin(), inside.end(), is_leftover)) remove_files(candidate);
    });
  }
}

void remove_beyond_limit(const fs::path& own, int64_t save_total_limit) {
  if (save_total_limit <= 0) return;
  auto all = checkpoints_in(own.parent_path());
  std::erase_if(all, [](const fs::path& directory) { return !is_of_its_name(directory); });
  int64_t surplus = static_cast<int64_t>(all.size()) - save_total_limit;
  for (const fs::path& old : all) {
    if (surplus <= 0) return;
    if (old.filename() == own.filename()) continue;
    or_warn(old, remove_checkpoint);
    --surplus;
  }
}

}  // namespace tessera
