#include "data/prepared.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <system_error>

#include "base/error.h"
#include "base/files.h"
#include "base/number.h"
#include "data/prepared_reader.h"

namespace tessera {
namespace {

struct Split {
  std::vector<int64_t> start;
  std::vector<int32_t> length, supervised, piece;
};

}  // namespace

struct PreparedSet::State {
  PreparedReader file;
  std::string split_name;
  Split split;
  int64_t stored = 0;                   // tokens of the file, all splits
  std::vector<int32_t> tokens, labels;  // all of them, or none

  State(const std::filesystem::path& path, const std::string& name) : file(path), split_name(name) {}

  [[noreturn]] void damaged(const std::string& what) const { throw DataError("{}: {}", file.path().string(), what); }

  /// Runs what reads the file; its errors say what to do about them.
  template <typename Work>
  static void reading(Work work) {
    try {
      work();
    } catch (const DataError& error) {
      throw DataError("{}; delete this prepared file, and the next run prepares it again", error.what());
    }
  }

  template <typename T>
  std::vector<T> column(std::string_view name) const {
    const std::string whole_name = split_column(split_name, name);
    std::vector<T> values(narrow<size_t>(file.size(whole_name)));
    file.read(whole_name, 0, narrow<int64_t>(values.size()), values.data());
    return values;
  }

  template <typename T>
  T element(std::string_view name, int64_t i) const {
    T value;
    file.read(split_column(split_name, name), i, 1, &value);
    return value;
  }

  void load(int64_t kept_tokens) {
    stored = file.size("/tokens");
    if (file.size("/labels") != stored) damaged("it holds another number of labels than of tokens");
    split = {column<int64_t>("start"), column<int32_t>("length"), column<int32_t>("supervised"),
             column<int32_t>("piece")};
    check_split();
    if (stored > kept_tokens) return;
    tokens.resize(narrow<size_t>(stored));
    labels.resize(narrow<size_t>(stored));
    file.read("/tokens", 0, stored, tokens.data());
    file.read("/labels", 0, stored, labels.data());
  }

  void check_split() const {
    const size_t count = split.start.size();
    if (split.length.size() != count || split.supervised.size() != count || split.piece.size() != count)
      damaged("its columns are of different lengths");
    if (count > size_t{std::numeric_limits<int32_t>::max()}) damaged(fmt::format("it claims {} samples", count));
    for (size_t i = 0; i < count; ++i) {
      const int64_t start = split.start[i], length = split.length[i];
      if (start < 0 || length < 1 || length > stored || start > stored - length)
        damaged(fmt::format("sample {} lies outside the stored tokens", i));
      if (split.supervised[i] < 0 || split.supervised[i] >= length || split.piece[i] < 0)
        damaged(fmt::format("sample {} claims that {} of its {} tokens carry loss, as piece {}", i, split.supervised[i],
                            length, split.piece[i]));
    }
  }

  void check_tokens(const int32_t* ids, const int32_t* its_labels, int64_t length, size_t sample) const {
    const int64_t vocab_size = file.header().vocab_size;
    int32_t supervised = 0;
    for (int64_t k = 0; k < length; ++k) {
      const bool carries_loss = its_labels[k] != ignored_label;
      if (ids[k] < 0 || ids[k] >= vocab_size || (carries_loss && (its_labels[k] < 0 || its_labels[k] >= vocab_size)))
        damaged(fmt::format("sample {} holds an invalid token", sample));
      supervised += static_cast<int32_t>(k > 0 && carries_loss);
    }
    if (supervised != split.supervised[sample])
      damaged(fmt::format("sample {} claims that {} of its tokens carry loss; {} do", sample, split.supervised[sample],
                          supervised));
  }
};

PreparedSet::PreparedSet(const std::filesystem::path& file, const std::string& split, int64_t kept_tokens) {
  std::error_code unknown;  // then opening it says why
  if (std::filesystem::symlink_status(file, unknown).type() == std::filesystem::file_type::not_found)
    throw DataError("{}: no such prepared file", file.string());
  State::reading([&] {
    state_ = std::make_unique<State>(file, split);
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

const std::string& PreparedSet::key() const { return state_->file.header().key; }
const std::string& PreparedSet::summary() const { return state_->file.header().summary; }
int64_t PreparedSet::vocab_size() const { return state_->file.header().vocab_size; }

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
  batch.sample_of.resize(batch.tokens.size(), narrow<int32_t>(i));
  batch.cu_seqlens.push_back(narrow<int32_t>(batch.tokens.size()));
  batch.supervised += state_->split.supervised[narrow<size_t>(i)];
  batch.samples += state_->split.piece[narrow<size_t>(i)] == 0;
}

std::string PreparedSet::source(int64_t i) const {
  const State& s = *state_;
  const std::vector<std::string>& sources = s.file.header().sources;
  int32_t file = 0;
  int64_t line = 0;
  State::reading([&] {
    file = s.element<int32_t>("file", i);
    line = s.element<int64_t>("line", i);
    if (file < 0 || file >= std::ssize(sources) || line < 0)
      s.damaged(fmt::format("sample {} claims to come from line {} of file {}", i, line, file));
  });
  const int32_t piece = s.split.piece.at(narrow<size_t>(i));
  const std::string of_piece = piece == 0 ? "" : fmt::format(" (piece {})", int64_t{piece} + 1);
  return fmt::format("{}:{}{}", sources[narrow<size_t>(file)], line, of_piece);
}

Batch make_batch(const PreparedSet& set, std::span<const std::vector<int32_t>> sequences) {
  Batch batch;
  for (const auto& sequence : sequences)
    for (const int32_t sample : sequence) set.append(sample, batch);
  return batch;
}

}  // namespace tessera
