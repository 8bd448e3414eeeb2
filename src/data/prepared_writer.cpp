#include "data/prepared_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "base/error.h"
#include "base/files.h"
#include "base/number.h"

namespace tessera {
namespace {

constexpr int64_t chunk = 16'384;        // tokens: a sample is read without reading much more
constexpr size_t write_after = 1 << 20;  // tokens

int32_t count_supervised(const int32_t* labels, size_t length) {
  return length == 0 ? 0 : narrow<int32_t>(std::count_if(labels + 1, labels + length, [](int32_t label) {
    return label != ignored_label;
  }));
}

}  // namespace

PreparedWriter::PreparedWriter(const std::filesystem::path& path)
    : path_(path), temporary_(path.string() + ".tmp"), file_(hdf5::File::create(temporary_)) {
  file_.create_growing("/tokens", hdf5::Type::int32, chunk);
  file_.create_growing("/labels", hdf5::Type::int32, chunk);
}

PreparedWriter::~PreparedWriter() {
  std::error_code
      gone_or_left;  // there is nobody to tell: an error is on its way already, and the next run overwrites it
  std::filesystem::remove(temporary_, gone_or_left);
}

SampleRow PreparedWriter::add(const Sample& sample, size_t begin, size_t length) {
  SampleRow row;
  row.start = stored_;
  row.length = narrow<int32_t>(length);
  row.supervised = count_supervised(sample.labels.data() + begin, length);
  const auto first = static_cast<std::ptrdiff_t>(begin), last = static_cast<std::ptrdiff_t>(begin + length);
  tokens_.insert(tokens_.end(), sample.ids.begin() + first, sample.ids.begin() + last);
  labels_.insert(labels_.end(), sample.labels.begin() + first, sample.labels.begin() + last);
  stored_ += row.length;
  if (tokens_.size() >= write_after) flush();
  return row;
}

void PreparedWriter::flush() {
  if (tokens_.empty()) return;
  file_.append("/tokens", tokens_.data(), narrow<int64_t>(tokens_.size()));
  file_.append("/labels", labels_.data(), narrow<int64_t>(labels_.size()));
  tokens_.clear();
  labels_.clear();
}

void PreparedWriter::write_split(const std::string& name, const std::vector<SampleRow>& rows) {
  file_.create_group("/splits/" + name);
  const auto write_column = [&]<typename T>(const std::string& column, T SampleRow::*member) {
    std::vector<T> values;
    values.reserve(rows.size());
    for (const SampleRow& row : rows) values.push_back(row.*member);
    file_.write("/splits/" + name + "/" + column, values.data(), narrow<int64_t>(values.size()));
  };
  write_column("start", &SampleRow::start);
  write_column("length", &SampleRow::length);
  write_column("supervised", &SampleRow::supervised);
  write_column("piece", &SampleRow::piece);
  write_column("file", &SampleRow::file);
  write_column("line", &SampleRow::line);
}

void PreparedWriter::finish(const Contents& contents) {
  flush();
  write_split("train", contents.train);
  write_split("eval", contents.eval);
  file_.create_group("/sources");
  for (size_t i = 0; i < contents.sources.size(); ++i)
    file_.write_attribute("/sources", std::to_string(i), std::string_view(contents.sources[i]));
  file_.write_attribute("/", "format", prepared_format);
  file_.write_attribute("/", "version", prepared_version);
  file_.write_attribute("/", "key", std::string_view(contents.key));
  file_.write_attribute("/", "summary", std::string_view(contents.summary));
  file_.write_attribute("/", "vocab_size", contents.vocab_size);
  file_.close();
  sync_file(temporary_);
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0)
    throw DataError("{}: cannot be renamed to {}: {}", temporary_.string(), path_.string(), std::strerror(errno));
  sync_folder(path_.parent_path());
}

}  // namespace tessera
