#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/batch.h"
#include "job/job.h"
#include "text/tokenizer.h"

namespace tessera {

/// Tokenised, masked samples on disk (prepared.h5): read-only, any number of processes.  All metadata is in memory (a
/// few bytes a sample), tokens are read when a batch needs them.
class PreparedSet {
 public:
  /// Throws DataError if the file is missing, damaged, or of another version. `split`: "train" or "eval". All reads,
  /// here and later, are verified against checksums and for plausibility; the error says to delete the file. The tokens
  /// of a file that has at most `kept_tokens` are kept in memory (8 bytes each): reading a sample then never waits for
  /// a checkpoint that is being written, which holds the lock of the HDF5 library.
  PreparedSet(const std::filesystem::path& file, const std::string& split, int64_t kept_tokens = 8 << 20);
  ~PreparedSet();
  PreparedSet(PreparedSet&&) noexcept;
  PreparedSet& operator=(PreparedSet&&) noexcept;

  int64_t size() const;                            ///< samples
  const std::vector<int32_t>& lengths() const;     ///< tokens of each sample
  const std::vector<int32_t>& supervised() const;  ///< targets of each sample that carry loss (labels != -100 at 1…)
  int64_t total_tokens() const;
  /// The hash of everything that shaped the file (prepare_key).
  const std::string& key() const;
  const std::string& summary() const;  ///< what the file holds, as text
  int64_t vocab_size() const;          ///< of the model; all tokens are below it

  /// Appends sample i to the batch as one document.
  void append(int64_t i, Batch& batch) const;
  /// Sample i as it is stored: ids and unshifted labels.
  void read(int64_t i, std::vector<int32_t>& ids, std::vector<int32_t>& labels) const;
  /// Where sample i comes from: "FILE:LINE".
  std::string source(int64_t i) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The samples of some sequences (epoch_sequences), one document each.
Batch make_batch(const PreparedSet& set, std::span<const std::vector<int32_t>> sequences);

struct PreparedFile {
  std::filesystem::path path;
  bool reused = false;  ///< it existed already, with the same key
  std::string summary;  ///< what it holds, a few lines of text
};

/// Makes the prepared file of a job, or finds that of an earlier run: its name contains a hash of everything that
/// shapes it. One process makes it; others log that they wait, and wait for the lock. `tokenizer` may be null when
/// every data set is of type tokenized.  vocab_size: of the model; a token id beyond it is a DataError (file:line).
/// Warns about samples without a supervised token, and about dropped or truncated samples.
PreparedFile prepare(const Job& job, const Tokenizer* tokenizer, int64_t vocab_size);

}  // namespace tessera
