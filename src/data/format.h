#pragma once
#include <simdjson.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/batch.h"
#include "data/fields.h"
#include "data/records.h"
#include "job/job.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tessera {

/// A sample as training sees it.
struct Sample {
  std::vector<int32_t> ids;
  std::vector<int32_t> labels;  ///< unshifted, as long as ids: the id, or ignored_label
};

/// How the records of a data set become samples: one class for each `type`.  Immutable, so that any number of threads
/// may use one.  Functions throw DataError naming `place`.
class SampleFormat {
 public:
  virtual ~SampleFormat() = default;
  virtual Sample from_json(simdjson::dom::element record, const Place& place) const = 0;
  /// A plain text file, or a part of it.  Only completion supports it; find_data_files keeps .txt from the others.
  virtual Sample from_document(std::string_view text, DocumentPart part, const Place& place) const;
};

/// `tokenizer` may be null for type = tokenized.  Throws JobError if the settings name something that does not exist.
std::unique_ptr<const SampleFormat> make_format(const DatasetSettings& dataset, const DataSettings& data,
                                                const Tokenizer* tokenizer);

/// Throws DataError if a token or label lies outside the model's vocabulary, or if there is not one label per token.
void check_sample(const Sample& sample, int64_t vocab_size, const Place& place);

/// The template that a data set names, or the tokenizer's own where it names none.  Throws JobError.
ChatTemplate choose_template(const DatasetSettings& dataset, const Tokenizer& tokenizer);

// Made by make_format.
std::unique_ptr<const SampleFormat> tokenized_format();
std::unique_ptr<const SampleFormat> completion_format(const DatasetSettings& dataset, const Tokenizer& tokenizer);
std::unique_ptr<const SampleFormat> instruction_format(const DatasetSettings& dataset, const DataSettings& data,
                                                       const Tokenizer& tokenizer);
std::unique_ptr<const SampleFormat> input_output_format(const DataSettings& data, const Tokenizer& tokenizer);
std::unique_ptr<const SampleFormat> chat_format(const DatasetSettings& dataset, const DataSettings& data,
                                                const Tokenizer& tokenizer);

}  // namespace tessera
