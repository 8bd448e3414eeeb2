#include <glob.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"
#include "base/files.h"
#include "data/records.h"

namespace tessera {
namespace {

/// ".jsonl" for a.jsonl, a.jsonl.gz and a.jsonl.zst.
std::string data_ending(Path path) {
  if (path.extension() == ".gz" || path.extension() == ".zst") path.replace_extension();
  return path.extension().string();
}

constexpr std::array endings_of_records = {".jsonl", ".json", ".csv", ".tsv"};

bool has_records(const std::string& ending) {
  return std::ranges::find(endings_of_records, ending) != endings_of_records.end();
}

bool is_hidden(const Path& path) { return path.filename().string().starts_with('.'); }

std::vector<Path> files_below(const Path& directory, DatasetKind kind) {
  std::vector<Path> files;
  std::filesystem::recursive_directory_iterator walk(directory), end;
  for (; walk != end; ++walk) {
    const Path& path = walk->path();
    if (is_hidden(path)) {
      if (walk->is_directory()) walk.disable_recursion_pending();
      continue;
    }
    const std::string ending = data_ending(path);
    const bool readable = has_records(ending) || (ending == ".txt" && kind == DatasetKind::completion);
    if (readable && !is_folder(path)) files.push_back(path);  // what is no file is refused when it is opened
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<Path> matches(const std::string& pattern) {
  glob_t found{};
  const int status = ::glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<Path> files;
  if (status == 0) files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  std::erase_if(files, [](const Path& path) { return is_folder(path); });
  return files;
}

void check_ending(const Path& file, const DatasetSettings& dataset, const SectionName& section) {
  const std::string ending = data_ending(file);
  if (ending == ".txt" && dataset.type->kind != DatasetKind::completion)
    throw JobError("[{}] path: {} is plain text; use type = completion", section, file.string());
  if (ending != ".txt" && !has_records(ending))
    throw JobError(
        "[{}] path: {}: unknown file type; expected .jsonl, .json, .csv, .tsv or .txt, optionally with .gz or .zst",
        section, file.string());
}

}  // namespace

std::vector<Path> find_data_files(const DatasetSettings& dataset, const SectionName& section) {
  const Path path = dataset.path;
  if (is_folder(path)) {
    std::vector<Path> files = files_below(path, dataset.type->kind);
    if (files.empty())
      throw JobError(
          "[{}] path: the directory {} has no data files (.jsonl, .json, .csv, .tsv{}, optionally with .gz or .zst)",
          section, dataset.path, dataset.type->kind == DatasetKind::completion ? ", .txt" : "");
    return files;
  }
  std::vector<Path> files;
  if (is_there(path))
    files.push_back(path);
  else if (dataset.path.find_first_of("*?[") != std::string::npos)
    files = matches(dataset.path);
  if (files.empty()) throw JobError("[{}] path: no such file: {}", section, dataset.path);
  for (const Path& file : files) check_ending(file, dataset, section);
  return files;
}

}  // namespace tessera
