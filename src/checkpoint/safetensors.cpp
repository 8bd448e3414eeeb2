#include "checkpoint/safetensors.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "checkpoint/finite.h"
#include "checkpoint/float16.h"
#include "checkpoint/raw_file.h"
#include "checkpoint/safetensors_header.h"
#include "device/dtype.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t converted_elements = 1 << 20;  // converted at once: 2 MiB of half precision

struct TensorInFile {
  SafetensorsEntry entry;
  size_t file;
};

/// Tensor → file, as model.safetensors.index.json says.
std::map<std::string, std::string> read_index(const fs::path& path) {
  const json index = read_json(path);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
    throw DataError("{}: is not JSON with a weight_map; download it again", path.string());
  std::map<std::string, std::string> files;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    if (!file.is_string() || fs::path(file.get<std::string>()).filename() != file.get<std::string>())
      throw DataError("{}: tensor {}: {} is not a file name in the same directory", path.string(), tensor, shown(file));
    files[tensor] = file;
  }
  return files;
}

void require_inside(const std::string& name, int64_t offset, int64_t count, int64_t size) {
  if (offset < 0 || count < 0 || count > size || offset > size - count)
    throw std::logic_error("SafetensorsReader: the slice of " + name + " lies outside its tensor");
}

template <typename Stored, typename Convert>
void read_converted(const RawFile& file, int64_t at, int64_t count, float* out, Convert convert) {
  std::vector<Stored> piece(static_cast<size_t>(std::min(count, converted_elements)));
  for (int64_t done = 0; done < count; done += converted_elements) {
    const int64_t now = std::min(converted_elements, count - done);
    file.read(at + done * static_cast<int64_t>(sizeof(Stored)), piece.data(),
              now * static_cast<int64_t>(sizeof(Stored)));
    std::transform(piece.begin(), piece.begin() + now, out + done, convert);
  }
}

}  // namespace

struct SafetensorsReader::State {
  fs::path directory;
  std::vector<RawFile> files;
  std::map<std::string, TensorInFile> tensors;

  std::map<std::string, SafetensorsEntry> open(const fs::path& path) {
    if (!is_there(path)) throw DataError("{}: is missing; download it", path.string());
    files.push_back(RawFile::open_read(path));
    return read_safetensors_header(files.back());
  }

  void open_single(const fs::path& path) {
    for (auto& [name, entry] : open(path)) tensors[name] = {entry, 0};
  }

  void open_indexed(const fs::path& index_path) {
    std::map<std::string, std::vector<std::string>> tensors_of;
    for (const auto& [tensor, file] : read_index(index_path)) tensors_of[file].push_back(tensor);
    for (const auto& [file, names] : tensors_of) {
      const auto entries = open(directory / file);
      for (const std::string& name : names) {
        const auto entry = entries.find(name);
        if (entry == entries.end())
          throw DataError("{}: tensor {}: is not in {}; download both files again", index_path.string(), name, file);
        tensors[name] = {entry->second, files.size() - 1};
      }
    }
  }

  const TensorInFile& at(const std::string& name) const {
    const auto found = tensors.find(name);
    if (found == tensors.end())
      throw DataError("{}: has no tensor {}; check that config.json and the weights belong together",
                      directory.string(), name);
    return found->second;
  }
};

SafetensorsReader::SafetensorsReader(const fs::path& directory, const std::string& stem)
    : state_(std::make_unique<State>()) {
  state_->directory = directory;
  const fs::path single = directory / (stem + ".safetensors"), index = directory / (stem + ".safetensors.index.json");
  if (is_there(single)) {
    state_->open_single(single);
  } else if (is_there(index)) {
    state_->open_indexed(index);
  } else {
    throw DataError("{}: has neither {} nor {}; convert the model to safetensors", directory.string(),
                    single.filename().string(), index.filename().string());
  }
}

SafetensorsReader::~SafetensorsReader() = default;

bool SafetensorsReader::contains(const std::string& name) const { return state_->tensors.contains(name); }

std::vector<std::string> SafetensorsReader::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : state_->tensors) names.push_back(name);
  return names;
}

const std::vector<int64_t>& SafetensorsReader::shape(const std::string& name) const {
  return state_->at(name).entry.shape;
}

const std::string& SafetensorsReader::dtype(const std::string& name) const { return state_->at(name).entry.dtype; }

int64_t SafetensorsReader::byte_count(const std::string& name) const {
  const SafetensorsEntry& entry = state_->at(name).entry;
  return entry.end - entry.begin;
}

void SafetensorsReader::read_bytes(const std::string& name, int64_t offset, int64_t count, void* out) const {
  const TensorInFile& tensor = state_->at(name);
  require_inside(name, offset, count, byte_count(name));
  state_->files[tensor.file].read(tensor.entry.begin + offset, out, count);
}

void SafetensorsReader::read(const std::string& name, int64_t offset, int64_t count, float* out) const {
  const TensorInFile& tensor = state_->at(name);
  const SafetensorsEntry& entry = tensor.entry;
  const RawFile& file = state_->files[tensor.file];
  const bool is_float = entry.dtype == "F32", is_bf16 = entry.dtype == "BF16", is_half = entry.dtype == "F16";
  if (!is_float && !is_bf16 && !is_half)
    throw DataError("{}: tensor {}: has type {}; expected F32, BF16 or F16. Use the unquantised weights of the model",
                    file.path().string(), name, entry.dtype);
  const int64_t bytes = is_float ? 4 : 2, size = (entry.end - entry.begin) / bytes;
  require_inside(name, offset, count, size);
  const int64_t at = entry.begin + offset * bytes;
  if (is_float) file.read(at, out, count * bytes);
  if (is_bf16) read_converted<bf16>(file, at, count, out, [](bf16 value) { return static_cast<float>(value); });
  if (is_half) read_converted<uint16_t>(file, at, count, out, float_of_half);
  require_finite(out, count, file.path().string(), "tensor " + name);
}

}  // namespace tessera
