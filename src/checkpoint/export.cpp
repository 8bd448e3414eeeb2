#include "checkpoint/export.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "checkpoint/safetensors_writer.h"
#include "checkpoint/tensor_shape.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr auto temporary_ending = ".tmp";

constexpr const char* tokenizer_files[] = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model",   "vocab.json",
    "merges.txt",     "added_tokens.json",     "chat_template.jinja",     "chat_template.json"};
constexpr const char* model_files[] = {"generation_config.json", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE",
                                       "USE_POLICY.md"};

std::vector<ExportedTensor> tensors_in_order(const CheckpointReader& checkpoint) {
  std::vector<ExportedTensor> tensors;
  for (const auto& tensor : checkpoint.tensors())
    tensors.push_back({tensor.name, tensor.shape, *element_count(tensor.shape)});
  std::sort(tensors.begin(), tensors.end(), [](auto& a, auto& b) { return natural_less(a.name, b.name); });
  return tensors;
}

/// Files of at most max_bytes each; a tensor that is larger has one of its own.
std::vector<std::vector<ExportedTensor>> split(const std::vector<ExportedTensor>& tensors, DType dtype,
                                               int64_t max_bytes) {
  std::vector<std::vector<ExportedTensor>> files(1);
  int64_t bytes = 0;
  for (const ExportedTensor& tensor : tensors) {
    const int64_t own = tensor.count * size_of(dtype);
    if (!files.back().empty() && bytes + own > max_bytes) {
      files.emplace_back();
      bytes = 0;
    }
    files.back().push_back(tensor);
    bytes += own;
  }
  return files;
}

std::string weights_name(const std::string& stem, size_t file, size_t files) {
  return files == 1 ? stem + ".safetensors" : fmt::format("{}-{:05}-of-{:05}.safetensors", stem, file + 1, files);
}

void write_weights(const ExportContent& content, const std::vector<ExportedTensor>& tensors, const fs::path& path) {
  SafetensorsWriter writer(path, tensors, content.dtype);
  for (const ExportedTensor& tensor : tensors)
    content.stream(tensor, [&](const float* elements, int64_t count) { writer.append(elements, count); });
  writer.finish();
}

std::string index_text(const ExportContent& content, const std::vector<std::vector<ExportedTensor>>& files) {
  int64_t total = 0;
  ordered_json weight_map = ordered_json::object();
  for (size_t i = 0; i < files.size(); ++i)
    for (const ExportedTensor& tensor : files[i]) {
      weight_map[tensor.name] = weights_name(content.weights, i, files.size());
      total += tensor.count * size_of(content.dtype);
    }
  return ordered_json{{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}}.dump(2) + "\n";
}

fs::path temporary(const fs::path& directory, const std::string& name) { return directory / (name + temporary_ending); }

template <typename Names>
void copy_present(const fs::path& from, const fs::path& to, const Names& names) {
  for (const auto& name : names) {
    if (!fs::is_regular_file(from / name)) continue;
    write_text_durably(to / name, read_text(from / name));
  }
}

/// STEM.safetensors, its index, or STEM-0000k-of-0000n.safetensors.
bool is_weights_name(const std::string& stem, const std::string& name) {
  if (name == stem + ".safetensors" || name == stem + ".safetensors.index.json") return true;
  const std::string pattern = stem + "-#####-of-#####.safetensors";
  return name.size() == pattern.size() &&
         std::equal(name.begin(), name.end(), pattern.begin(),
                    [](char c, char expected) { return expected == '#' ? c >= '0' && c <= '9' : c == expected; });
}

template <typename Predicate>
void remove_files(const fs::path& directory, Predicate is_unwanted) {
  std::vector<fs::path> unwanted;
  for (const auto& entry : fs::directory_iterator(directory))
    if (is_unwanted(entry.path().filename().string())) unwanted.push_back(entry.path());
  for (const fs::path& path : unwanted) fs::remove(path);
}

void remove_temporary_weights(const std::string& stem, const fs::path& directory) {
  remove_files(directory, [&](const std::string& name) {
    return name.ends_with(temporary_ending) && is_weights_name(stem, name.substr(0, name.rfind('.')));
  });
}

/// An earlier export may have had another number of files.
void remove_other_weights(const std::string& stem, const fs::path& directory, const std::set<std::string>& ours) {
  remove_files(directory, [&](const std::string& name) { return is_weights_name(stem, name) && !ours.contains(name); });
}

void write_files(const ExportContent& content, const ExportSettings& settings) {
  const fs::path& directory = settings.directory;
  const auto files = split(content.tensors, content.dtype, settings.max_shard_bytes);
  std::set<std::string> names;
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string name = weights_name(content.weights, i, files.size());
    names.insert(name);
    write_weights(content, files[i], temporary(directory, name));
  }
  // From here to the new config the directory has none: no program takes it for a model while old and new mix.
  fs::remove(directory / content.config_name);
  sync_folder(directory);
  for (const std::string& name : names) fs::rename(temporary(directory, name), directory / name);
  remove_other_weights(content.weights, directory, names);
  if (files.size() > 1)
    write_text_durably(directory / (content.weights + ".safetensors.index.json"), index_text(content, files));
  copy_present(settings.tokenizer.empty() ? settings.base : settings.tokenizer, directory, tokenizer_files);
  copy_present(settings.base, directory, model_files);
  sync_folder(directory);
  write_text_durably(directory / content.config_name, content.config);
}

}  // namespace

/// layers.2 before layers.10: numbers inside names are compared as numbers.
bool natural_less(const std::string& a, const std::string& b) {
  const auto is_digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (!is_digit(a[i]) || !is_digit(b[j])) {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
      continue;
    }
    const size_t a_end = std::find_if_not(a.begin() + static_cast<int64_t>(i), a.end(), is_digit) - a.begin();
    const size_t b_end = std::find_if_not(b.begin() + static_cast<int64_t>(j), b.end(), is_digit) - b.begin();
    if (a_end - i != b_end - j) return a_end - i < b_end - j;
    if (const int order = a.compare(i, a_end - i, b, j, b_end - j); order != 0) return order < 0;
    i = a_end, j = b_end;
  }
  return a.size() - i < b.size() - j;
}

/// config.json with the dtype of the weights beside it, in the spelling that the file has (transformers writes `dtype`
/// from version 5 on, `torch_dtype` before; it reads both).
std::string config_with_dtype(const std::string& text, DType dtype, const std::string& where) {
  ordered_json config = parse_ordered_json(text, where);
  if (!config.is_object()) throw DataError("{}: is not a JSON object, so it cannot be exported", where);
  const char* name = dtype == DType::f32 ? "float32" : "bfloat16";
  const bool has_new_spelling = config.contains("dtype");
  if (has_new_spelling) config["dtype"] = name;
  if (config.contains("torch_dtype") || !has_new_spelling) config["torch_dtype"] = name;
  return config.dump(2) + "\n";
}

void require_export_directory(const ExportSettings& settings) {
  require_place(settings.directory, "[checkpoint] export_dir");
  for (const fs::path& source : {settings.base, settings.tokenizer})
    if (!source.empty() && fs::exists(source) && fs::exists(settings.directory) &&
        fs::equivalent(source, settings.directory))
      throw JobError(
          "[checkpoint] export_dir: {} is the directory of the base model or its tokenizer, which the export would "
          "overwrite; choose another directory",
          settings.directory.string());
}

void write_export(const ExportContent& content, const ExportSettings& settings) {
  require_export_directory(settings);
  try {
    fs::create_directories(settings.directory);
    remove_temporary_weights(content.weights, settings.directory);  // of an export that a crash ended
    try {
      write_files(content, settings);
    } catch (...) {
      remove_temporary_weights(content.weights, settings.directory);  // they would keep the disk full
      throw;
    }
  } catch (const fs::filesystem_error& error) {
    throw DataError(
        "the export to {} failed: {}\n  The checkpoint is untouched. Free space there, then run `train export`",
        settings.directory.string(), error.what());
  } catch (const DataError& error) {
    throw DataError(
        "the export to {} failed: {}\n  The checkpoint is untouched. Fix the cause, then run `train export`",
        settings.directory.string(), error.what());
  }
}

void export_checkpoint(const CheckpointReader& checkpoint, const ExportSettings& settings) {
  ExportContent content;
  content.tensors = tensors_in_order(checkpoint);
  content.dtype = settings.dtype;
  content.config = config_with_dtype(checkpoint.info().model_config, settings.dtype,
                                     checkpoint.directory().string() + ": model_config");
  content.stream = [&](const ExportedTensor& tensor, const ExportContent::Append& append) {
    checkpoint.stream(
        {tensor.name, tensor.shape, 0, tensor.count, {}}, {master_dataset, DType::f32},
        [&](const void* piece, int64_t, int64_t count) { append(static_cast<const float*>(piece), count); });
  };
  write_export(content, settings);
}

}  // namespace tessera
