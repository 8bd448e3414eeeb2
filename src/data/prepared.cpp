#include "data/prepared.h"

#include <algorithm>
#include <mutex>
#include <numeric>

#include "base/error.h"
#include "base/files.h"
#include "base/hdf5.h"
#include "base/number.h"
#include "data/prepared_writer.h"

namespace tessera {
namespace {

struct Split {
  std::vector<int64_t> start;
  std::vector<int32_t> length, supervised, piece;
};

}  // namespace

struct PreparedSet::State {
  std::filesystem::path path;
  std::string group;
  hdf5::File file;
  Split split;
  std::string key;
  int64_t vocab_size = 0;
  int64_t stored = 0;                   // tokens of the file, all splits
  std::vector<int32_t> tokens, labels;  // all of them, or none

  [[noreturn]] void damaged(const std::string& what) const { throw DataError("{}: {}", path.string(), what); }

  /// Runs what reads the file; its errors say what to do about them.
  template <typename Work>
  static void reading(Work work) {
    try {
      work();
    } catch (const DataError& error) {
      throw DataError("{}; delete this prepared file, and the next run makes it again", error.what());
    }
  }

  template <typename T>
  std::vector<T> column(const std::string& name) const {
    std::vector<T> values(narrow<size_t>(file.size(group + name)));
    if (!values.empty()) file.read(group + name, 0, narrow<int64_t>(values.size()), values.data());
    return values;
  }

  void check_header() const {
    if (file.read_string("/", "format") != prepared_format) damaged("it is not a prepared file");
    const int64_t version = file.read_int("/", "version");
    if (version != prepared_version)
      damaged(fmt::format("it has version {} of the format, this program reads {}", version, prepared_version));
  }

  void load(int64_t kept_tokens) {
    check_header();
    key = file.read_string("/", "key");
    vocab_size = file.read_int("/", "vocab_size");
    stored = file.size("/tokens");
    if (file.size("/labels") != stored) damaged("it holds another number of labels than of tokens");
    split = {column<int64_t>("start"), column<int32_t>("length"), column<int32_t>("supervised"),
             column<int32_t>("piece")};
    check_split();
    if (stored == 0 || stored > kept_tokens) return;
    tokens.resize(narrow<size_t>(stored));
    labels.resize(narrow<size_t>(stored));
    file.read("/tokens", 0, stored, tokens.data());
    file.read("/labels", 0, stored, labels.data());
  }

  void check_split() const {
    const size_t count = split.start.size();
    if (split.length.size() != count || split.supervised.size() != count || split.piece.size() != count)
      damaged("its columns are of different lengths");
    for (size_t i = 0; i < count; ++i) {
      const int64_t start = split.start[i], length = split.length[i];
      if (start < 0 || length < 1 || length > stored || start > stored - length)
        damaged(fmt::format("sample {} lies outside its tokens", i));
    }
  }

  void check_tokens(const int32_t* ids, const int32_t* its_labels, int64_t length, size_t sample) const {
    for (int64_t k = 0; k < length; ++k) {
      const bool token_fits = ids[k] >= 0 && ids[k] < vocab_size;
      const bool label_fits = its_labels[k] == ignored_label || (its_labels[k] >= 0 && its_labels[k] < vocab_size);
      if (!token_fits || !label_fits) damaged(fmt::format("sample {} holds what is no token", sample));
    }
  }
};

PreparedSet::PreparedSet(const std::filesystem::path& file, const std::string& split, int64_t kept_tokens) {
  if (!is_there(file)) throw DataError("{}: there is no such prepared file", file.string());
  State::reading([&] {
    state_ = std::make_unique<State>(
        State{file, "/splits/" + split + "/", hdf5::File::open_read(file), {}, {}, 0, 0, {}, {}});
    state_->load(kept_tokens);
  });
}

PreparedSet::~PreparedSet() = default;
PreparedSet::PreparedSet(PreparedSet&&) noexcept = default;
PreparedSet& PreparedSet::operator=(PreparedSet&&) noexcept = default;

int64_t PreparedSet::size() const { return narrow<int64_t>(state_->split.start.size()); }
const std::vector<int32_t>& PreparedSet::lengths() const { return state_->split.length; }
const std::vector<int32_t>& PreparedSet::supervised() const { return state_->split.supervised; }

int64_t PreparedSet::total_tokens() const { return std::accumulate(lengths().begin(), lengths().end(), int64_t{0}); }

const std::string& PreparedSet::key() const { return state_->key; }

void PreparedSet::read(int64_t i, std::vector<int32_t>& ids, std::vector<int32_t>& labels) const {
  const State& s = *state_;
  const auto index = narrow<size_t>(i);
  const int64_t start = s.split.start.at(index), length = s.split.length[index];
  if (!s.tokens.empty()) {
    ids.assign(s.tokens.begin() + start, s.tokens.begin() + start + length);
    labels.assign(s.labels.begin() + start, s.labels.begin() + start + length);
  } else {
    ids.resize(narrow<size_t>(length));
    labels.resize(narrow<size_t>(length));
    State::reading([&] {
      s.file.read("/tokens", start, length, ids.data());
      s.file.read("/labels", start, length, labels.data());
    });
  }
  State::reading([&] { s.check_tokens(ids.data(), labels.data(), length, index); });
}

void PreparedSet::append(int64_t i, Batch& batch) const {
  std::vector<int32_t> ids, labels;
  read(i, ids, labels);
  batch.tokens.insert(batch.tokens.end(), ids.begin(), ids.end());
  batch.targets.insert(batch.targets.end(), labels.begin() + 1, labels.end());
  batch.targets.push_back(ignored_label);
  for (size_t position = 0; position < ids.size(); ++position)
    batch.positions.push_back(static_cast<int32_t>(position));
  batch.cu_seqlens.push_back(narrow<int32_t>(batch.tokens.size()));
  batch.supervised += state_->split.supervised[narrow<size_t>(i)];
  batch.samples += state_->split.piece[narrow<size_t>(i)] == 0;
}

std::string PreparedSet::source(int64_t i) const {
  const State& s = *state_;
  int32_t file = 0;
  int64_t line = 0;
  State::reading([&] {
    s.file.read(s.group + "file", i, 1, &file);
    s.file.read(s.group + "line", i, 1, &line);
  });
  const int32_t piece = s.split.piece.at(narrow<size_t>(i));
  const std::string of_piece = piece == 0 ? "" : fmt::format(" (piece {})", piece + 1);
  return fmt::format("{}:{}{}", s.file.read_string("/sources", std::to_string(file)), line, of_piece);
}

Batch make_batch(const PreparedSet& set, std::span<const std::vector<int32_t>> sequences) {
  Batch batch;
  for (const auto& sequence : sequences)
    for (const int32_t sample : sequence) set.append(sample, batch);
  return batch;
}

}  // namespace tessera
