#include "checkpoint/safetensors_writer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/number.h"

namespace tessera {

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, const std::vector<ExportedTensor>& tensors,
                                     DType dtype)
    : file_(RawFile::create(path)), dtype_(dtype) {
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  int64_t offset = 0;
  for (const ExportedTensor& tensor : tensors) {
    const int64_t next = offset + tensor.count * size_of(dtype);
    header[tensor.name] = {
        {"dtype", dtype == DType::f32 ? "F32" : "BF16"}, {"shape", tensor.shape}, {"data_offsets", {offset, next}}};
    offset = next;
  }
  std::string text = header.dump();
  text.resize(static_cast<size_t>(round_up(static_cast<int64_t>(text.size()), 8)), ' ');  // data begin aligned
  const uint64_t length = text.size();
  file_.write(0, &length, sizeof length);
  file_.write(sizeof length, text.data(), static_cast<int64_t>(length));
  position_ = static_cast<int64_t>(sizeof length + length);
  end_ = position_ + offset;
}

void SafetensorsWriter::append(const float* values, int64_t count) {
  const int64_t bytes = count * size_of(dtype_);
  if (position_ + bytes > end_) throw std::logic_error("SafetensorsWriter: more elements than the header names");
  if (dtype_ == DType::f32) {
    file_.write(position_, values, bytes);
  } else {
    rounded_.resize(static_cast<size_t>(count));
    std::transform(values, values + count, rounded_.begin(), [](float value) { return bf16(value); });
    file_.write(position_, rounded_.data(), bytes);
  }
  position_ += bytes;
}

void SafetensorsWriter::finish() {
  if (position_ != end_) throw std::logic_error("SafetensorsWriter: fewer elements than the header names");
  file_.sync_and_close();
}

}  // namespace tessera
