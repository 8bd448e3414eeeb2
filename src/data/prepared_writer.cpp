#include "data/prepared_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/number.h"

namespace tessera {
namespace {

constexpr size_t write_after = 1 << 20;  // tokens
constexpr int64_t size_of_token = sizeof(int32_t);

int32_t count_supervised(const int32_t* labels, size_t length) {
  return length == 0 ? 0 : narrow<int32_t>(std::count_if(labels + 1, labels + length, [](int32_t label) {
    return label != ignored_label;
  }));
}

}  // namespace

PreparedWriter::PreparedWriter(const std::filesystem::path& path)
    : path_(path),
      temporary_(path.string() + ".tmp"),
      file_(hdf5::File::create(temporary_, hdf5::Layout::checksummed)) {
  file_.create_growing("/tokens", hdf5::Type::int32, prepared_block);
  file_.create_growing("/labels", hdf5::Type::int32, prepared_block);
}

PreparedWriter::~PreparedWriter() {
  std::error_code
      gone_or_left;  // nothing to report: an error is being thrown already, and the next run overwrites the file
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
  const auto count = narrow<int64_t>(tokens_.size());
  file_.append("/tokens", tokens_.data(), count);
  file_.append("/labels", labels_.data(), count);
  token_hasher_.add(tokens_.data(), count * size_of_token);
  label_hasher_.add(labels_.data(), count * size_of_token);
  tokens_.clear();
  labels_.clear();
}

void PreparedWriter::add_hashes(const std::string& column, int64_t size, BlockHasher hasher) {
  columns_.push_back({column, size, hasher.finish()});
  const std::vector<uint64_t>& hashes = columns_.back().hashes;
  file_.write(hashes_of(column), hashes.data(), narrow<int64_t>(hashes.size()));
}

void PreparedWriter::write_split(std::string_view name, const std::vector<SampleRow>& rows) {
  file_.create_group("/splits/" + std::string(name));
  const auto write_column = [&]<typename T>(std::string_view column, T SampleRow::*member) {
    std::vector<T> values;
    values.reserve(rows.size());
    for (const SampleRow& row : rows) values.push_back(row.*member);
    const auto size = narrow<int64_t>(values.size());
    file_.write(split_column(name, column), values.data(), size);
    BlockHasher hasher(sizeof(T));
    hasher.add(values.data(), size * static_cast<int64_t>(sizeof(T)));
    add_hashes(split_column(name, column), size, std::move(hasher));
  };
  write_column("start", &SampleRow::start);
  write_column("length", &SampleRow::length);
  write_column("supervised", &SampleRow::supervised);
  write_column("piece", &SampleRow::piece);
  write_column("file", &SampleRow::file);
  write_column("line", &SampleRow::line);
}

void PreparedWriter::finish(const Contents& contents) {
  const PreparedHeader& header = contents.header;
  flush();
  add_hashes("/tokens", stored_, std::move(token_hasher_));
  add_hashes("/labels", stored_, std::move(label_hasher_));
  file_.create_group("/splits");
  write_split("train", contents.train);
  write_split("eval", contents.eval);
  file_.create_group("/sources");
  for (size_t i = 0; i < header.sources.size(); ++i)
    file_.write_attribute("/sources", std::to_string(i), std::string_view(header.sources[i]));
  file_.write_attribute("/", "format", prepared_format);
  file_.write_attribute("/", "version", prepared_version);
  file_.write_attribute("/", "key", std::string_view(header.key));
  file_.write_attribute("/", "summary", std::string_view(header.summary));
  file_.write_attribute("/", "vocab_size", header.vocab_size);
  file_.write_attribute("/", "sources", narrow<int64_t>(header.sources.size()));
  file_.write_attribute("/", "xxh3", prepared_checksum(header, columns_));
  file_.close();
  sync_file(temporary_);
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0)
    throw DataError("{}: cannot be renamed to {}: {}", temporary_.string(), path_.string(), std::strerror(errno));
  sync_folder(path_.parent_path());
}

}  // namespace tessera
