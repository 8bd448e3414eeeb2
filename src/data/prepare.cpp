// prepare(): job → prepared file.  Records are read in blocks; while the threads make samples of one block, the next is
// read; samples are stored in the order of the files.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <optional>
#include <system_error>
#include <thread>

#include "base/amount.h"
#include "base/error.h"
#include "base/files.h"
#include "base/host_memory.h"
#include "base/log.h"
#include "base/number.h"
#include "data/make_samples.h"
#include "data/order.h"
#include "data/preparation_progress.h"
#include "data/prepare_key.h"
#include "data/prepared.h"
#include "data/prepared_writer.h"
#include "data/random.h"
#include "data/records.h"
#include "data/sample_store.h"

namespace tessera {
namespace {

constexpr size_t block_records = 2048;
constexpr size_t block_bytes = 16 << 20;
constexpr int64_t errors_shown = 5;
constexpr int64_t split_stream = -1;  // epochs use the random streams from 0

std::string samples_in_words(int64_t count) { return fmt::format("{} {}", count, count == 1 ? "sample" : "samples"); }

class Preparation {
 public:
  Preparation(const Job& job, const Tokenizer* tokenizer, int64_t vocab_size, const Path& path)
      : job_(job),
        tokenizer_(tokenizer),
        vocab_size_(vocab_size),
        writer_(path),
        store_(writer_, job.data.sequence_len, job.data.deduplicate, counts_) {}

  void run(const std::vector<FoundDataset>& datasets, const std::string& key) {
    for (const FoundDataset& dataset : datasets) read_dataset(dataset);
    warn_about_counts();
    PreparedWriter::Contents contents;
    contents.header = {.key = key, .summary = "", .vocab_size = vocab_size_, .sources = sources_};
    for (const Rows& rows : rows_) require_supervision(rows);
    take_validation(contents.eval);
    for (const Rows& rows : rows_) put(rows, contents);
    check_not_empty(contents);
    contents.header.summary = summary(contents);
    writer_.finish(contents);
  }

 private:
  struct Rows {
    const FoundDataset* dataset;
    std::vector<SampleRow> rows;
  };

  /// Up to a block of records; fewer only at the end.
  static std::vector<Record> read_block(RecordStream& stream) {
    std::vector<Record> block;
    size_t bytes = 0;
    for (Record record; block.size() < block_records && bytes < block_bytes && stream.next(record);) {
      bytes += record.text.size();
      block.push_back(std::move(record));
    }
    return block;
  }

  void read_dataset(const FoundDataset& dataset) {
    try {
      read_records(dataset);
    } catch (const std::bad_alloc&) {
      throw DataError(
          "[{}] ({}): out of memory while preparing this data set, after {} and {} tokens in total; lower [data] "
          "workers",
          dataset.section, dataset.settings->path, samples_in_words(taken_), writer_.stored());
    }
  }

  void read_records(const FoundDataset& dataset) {
    const std::unique_ptr<const SampleFormat> format = make_format(*dataset.settings, job_.data, tokenizer_);
    store_.begin(overlong_of(*dataset.settings, job_.data), narrow<int32_t>(sources_.size()));
    for (const Path& file : dataset.files) sources_.push_back(file.string());
    rows_.push_back({&dataset, {}});
    taken_ = seen_ = 0;

    progress_.begin(dataset.section);
    RecordStream stream(dataset.files,
                        {.record_bytes = job_.data.max_record_bytes, .text_unit = dataset.settings->document},
                        [this](const ReadingState& state) { progress_.read(state); });
    std::vector<Record> block = read_block(stream);
    while (!block.empty() && !reached_limit(dataset)) {
      std::vector<Record> following;
      std::exception_ptr reading_failed;
      std::vector<MadeSample> made;
      {
        const std::jthread reader([&] {
          try {
            following = read_block(stream);
          } catch (...) {
            reading_failed = std::current_exception();
          }
        });
        made = make_samples(block, dataset.files, *format, vocab_size_, threads());
      }
      take(dataset, made);
      if (reading_failed && !reached_limit(dataset)) std::rethrow_exception(reading_failed);
      block = std::move(following);
    }
  }

  int64_t threads() const {
    return job_.data.workers > 0 ? job_.data.workers : std::max<int64_t>(std::thread::hardware_concurrency(), 1);
  }

  bool reached_limit(const FoundDataset& dataset) const {
    return dataset.settings->limit > 0 && taken_ >= dataset.settings->limit;
  }

  void take(const FoundDataset& dataset, const std::vector<MadeSample>& made) {
    for (const MadeSample& one : made) {
      if (reached_limit(dataset)) return;
      const bool mine = seen_ % dataset.settings->shards == dataset.settings->shards_idx;
      seen_ += one.part.ends;
      if (!mine) continue;
      if (one.error) {
        skip_or_stop(one);
        continue;
      }
      taken_ += one.part.ends;
      store_.add(one, rows_.back().rows);
    }
    progress_.made(taken_, writer_.stored());
  }

  void skip_or_stop(const MadeSample& one) {
    if (job_.data.on_error == OnError::stop) std::rethrow_exception(one.error);
    store_.leave_out(one);
    try {
      std::rethrow_exception(one.error);
    } catch (const DataError& error) {
      if (++counts_.broken <= errors_shown) log::warn("skipped: {}", error.what());
    }
  }

  /// Draws the validation samples from the training ones, before any is repeated: no sample is on both sides.
  void take_validation(std::vector<SampleRow>& eval) {
    if (job_.data.val_set_size <= 0) return;
    std::vector<std::pair<size_t, size_t>> all;  // data set, row
    for (size_t d = 0; d < rows_.size(); ++d)
      for (size_t r = 0; r < rows_[d].rows.size(); ++r) all.emplace_back(d, r);
    const size_t count = validation_count(all.size());
    Random(job_.job.seed, split_stream).shuffle(all);
    all.resize(count);
    std::sort(all.begin(), all.end());
    for (const auto& [d, r] : all) eval.push_back(rows_[d].rows[r]);
    for (auto chosen = all.rbegin(); chosen != all.rend(); ++chosen)
      rows_[chosen->first].rows[chosen->second].length = 0;
    for (Rows& rows : rows_) std::erase_if(rows.rows, [](const SampleRow& row) { return row.length == 0; });
  }

  size_t validation_count(size_t samples) const {
    if (samples == 0) return 0;
    const double wanted = job_.data.val_set_size;
    const double count = wanted < 1 ? std::ceil(wanted * static_cast<double>(samples)) : wanted;
    if (count >= static_cast<double>(samples))
      throw DataError("[data] val_set_size = {} leaves nothing to train on: there are only {} samples", wanted,
                      samples);
    return static_cast<size_t>(count);
  }

  static void put(const Rows& rows, PreparedWriter::Contents& contents) {
    std::vector<SampleRow>& split = rows.dataset->evaluation ? contents.eval : contents.train;
    const int64_t repeat = rows.dataset->settings->repeat, samples = narrow<int64_t>(rows.rows.size());
    const Amount in_all = Amount(samples) * repeat + narrow<int64_t>(split.size());
    constexpr int64_t most = std::numeric_limits<int32_t>::max();  // samples are numbered in 32 bits
    if (in_all > most || in_all * int64_t{sizeof(SampleRow)} > host_memory_bytes())
      throw JobError("[{}] repeat: {} times {} exceeds {} in total, or this host's memory; lower it",
                     rows.dataset->section, repeat, samples_in_words(samples), samples_in_words(most));
    for (int64_t i = 0; i < repeat; ++i) split.insert(split.end(), rows.rows.begin(), rows.rows.end());
  }

  /// A sample without a token that carries loss does no harm; a data set without any is a mistake in its masks.
  static void require_supervision(const Rows& rows) {
    const auto carries_loss = [](const SampleRow& row) { return row.supervised > 0; };
    if (rows.rows.empty() || std::any_of(rows.rows.begin(), rows.rows.end(), carries_loss)) return;
    throw DataError(
        "[{}] ({}): no token of its {} carries loss, so there is nothing to train on or to evaluate; check the labels, "
        "or the keys that select roles and parts",
        rows.dataset->section, rows.dataset->settings->path, samples_in_words(narrow<int64_t>(rows.rows.size())));
  }

  void check_not_empty(const PreparedWriter::Contents& contents) const {
    std::string why;
    if (counts_.dropped > 0)
      why += fmt::format("; longer than sequence_len = {} and left out: {} (overlong = split would split them)",
                         job_.data.sequence_len, counts_.dropped);
    if (counts_.broken > 0) why += fmt::format("; broken and skipped: {}", counts_.broken);
    if (counts_.empty > 0) why += fmt::format("; empty: {}", counts_.empty);
    if (counts_.repeated > 0) why += fmt::format("; repeated: {}", counts_.repeated);
    if (contents.train.empty()) throw DataError("no samples to train on in {}{}", named(job_.datasets), why);
    if (contents.eval.empty() && !job_.eval_datasets.empty())
      throw DataError("no samples in {}{}", named(job_.eval_datasets), why);
  }

  static std::string named(const std::vector<DatasetSettings>& sets) {
    std::string names;
    for (const DatasetSettings& set : sets)
      names += fmt::format("{}[{}] ({})", names.empty() ? "" : ", ", set.name, set.path);
    return names;
  }

  void warn_about_counts() const {
    const auto warn = [](int64_t count, const std::string& what) {
      if (count > 0) log::warn("{} {}", samples_in_words(count), what);
    };
    const std::string longer = fmt::format("longer than sequence_len = {}", job_.data.sequence_len);
    warn(counts_.broken, "broken and skipped (on_error = skip)");
    warn(counts_.empty, "without tokens left out");
    if (counts_.repeated > 0)
      log::info("{} repeated and left out (deduplicate = true)", samples_in_words(counts_.repeated));
    warn(counts_.dropped, longer + " left out (overlong = drop)");
    warn(counts_.truncated, longer + " truncated (overlong = truncate)");
    warn(counts_.unsupervised, "without a supervised token: kept, but they train nothing");
    if (counts_.split > 0)
      log::info("{} {} split into pieces (overlong = split)", samples_in_words(counts_.split), longer);
  }

  std::string summary(const PreparedWriter::Contents& contents) const {
    std::string text = line_of("train", contents.train);
    if (!contents.eval.empty()) text += "\n" + line_of("eval", contents.eval);
    for (const auto& [count, what] : {std::pair{counts_.broken, "broken, skipped"},
                                      {counts_.empty, "empty, left out"},
                                      {counts_.repeated, "repeated, left out"},
                                      {counts_.dropped, "too long, left out"},
                                      {counts_.truncated, "too long, truncated"},
                                      {counts_.split, "too long, split"},
                                      {counts_.unsupervised, "without a supervised token"}})
      if (count > 0) text += fmt::format("\n{} {}", samples_in_words(count), what);
    return text;
  }

  static std::string line_of(const char* split, const std::vector<SampleRow>& rows) {
    int64_t tokens = 0, supervised = 0, samples = 0;
    int32_t longest = 0;
    for (const SampleRow& row : rows) {
      tokens += row.length;
      supervised += row.supervised;
      samples += row.piece == 0;
      longest = std::max(longest, row.length);
    }
    const bool in_pieces = samples < std::ssize(rows);
    return fmt::format("{}: {} samples{}, {} tokens, {} supervised; longest {}: {} tokens", split, samples,
                       in_pieces ? fmt::format(" in {} pieces", rows.size()) : "", tokens, supervised,
                       in_pieces ? "piece" : "sample", longest);
  }

  const Job& job_;
  const Tokenizer* tokenizer_;
  int64_t vocab_size_;
  PreparedWriter writer_;
  SampleCounts counts_;
  SampleStore store_;
  PreparationProgress progress_;
  std::vector<std::string> sources_;
  std::vector<Rows> rows_;
  int64_t seen_ = 0, taken_ = 0;  // samples of the data set being read: of all shards, and of its own
};

/// How the training samples fill sequences, said beside what the file says about itself.
std::string packing_line(const PreparedSet& train, const Job& job) {
  if (!job.data.sample_packing) return "";
  const size_t sequences = epoch_sequences(train.lengths(), job.data, job.job.seed, 0).size();
  const double room = static_cast<double>(sequences) * static_cast<double>(job.data.sequence_len);
  return fmt::format("\npacked: {} sequences of at most {} tokens, {:.1f} % full", sequences, job.data.sequence_len,
                     100 * static_cast<double>(train.total_tokens()) / room);
}

/// The prepared file as the job will read it.  Throws DataError where it is damaged, or not what its name says.
PreparedFile opened(const Path& path, const std::string& key, const Job& job, int64_t vocab_size, bool reused) {
  constexpr int64_t keep_none = 0;
  const PreparedSet train(path, "train", keep_none), eval(path, "eval", keep_none);
  int32_t longest = 0;
  for (const PreparedSet* set : {&train, &eval})
    for (const int32_t length : set->lengths()) longest = std::max(longest, length);
  if (train.key() != key || train.vocab_size() != vocab_size || longest > job.data.sequence_len)
    throw DataError("{}: its content does not match its name; delete it, and the next run prepares it again",
                    path.string());
  return {path, reused, train.summary() + packing_line(train, job)};
}

/// Whatever stands there is kept: a damaged file is for the user to look at and delete.
bool stands_there(const Path& path) {
  std::error_code unknown;
  return std::filesystem::symlink_status(path, unknown).type() != std::filesystem::file_type::not_found;
}

FileLock lock(const Path& path) {
  try {
    return FileLock(path, FileLock::Wait::no);
  } catch (const JobError&) {
    log::info("another process is preparing the data ({}); waiting for it", path.string());
    return FileLock(path, FileLock::Wait::yes);
  }
}

}  // namespace

PreparedFile prepare(const Job& job, const Tokenizer* tokenizer, int64_t vocab_size) {
  const std::vector<FoundDataset> datasets = find_datasets(job);
  const std::string key = prepare_key(job, datasets, tokenizer, vocab_size);
  const Path folder = job.data.prepared_path.empty() ? job.job.output_dir / "prepared" : job.data.prepared_path;
  const Path path = folder / fmt::format("prepared-{}.v{}.h5", key, prepared_version);
  if (stands_there(path)) return opened(path, key, job, vocab_size, true);

  make_directory(folder, "[data] prepared_path");
  const FileLock held = lock(folder / ("prepared-" + key + ".lock"));
  if (stands_there(path)) return opened(path, key, job, vocab_size, true);
  Preparation(job, tokenizer, vocab_size, path).run(datasets, key);
  return opened(path, key, job, vocab_size, false);
}

}  // namespace tessera
