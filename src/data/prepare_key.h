#pragma once
#include <string>
#include <vector>

#include "job/job.h"
#include "text/tokenizer.h"

namespace tessera {

/// A data set of the job with what was found for it.
struct FoundDataset {
  const DatasetSettings* settings;
  std::string section;  ///< "dataset.NAME" or "eval_dataset.NAME"
  bool evaluation;
  std::vector<Path> files;
};

/// The data sets in the job's order, those for evaluation last.
std::vector<FoundDataset> find_datasets(const Job& job);

bool needs_tokenizer(const Job& job);

/// A hash of everything that shapes the prepared file: the files' names and contents, the tokenizer and the chat
/// template it brings, the vocabulary's size, the settings of [data] and of each data set that shape samples, the seed
/// if it decides the split. `tokenizer` counts only if it is needed.  Checkpoints carry it to identify the samples, so
/// the version of the file's layout is not part of it.
std::string prepare_key(const Job& job, const std::vector<FoundDataset>& datasets, const Tokenizer* tokenizer,
                        int64_t vocab_size);

}  // namespace tessera
