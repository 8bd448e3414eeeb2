#include "data/format.h"

#include <stdexcept>

#include "base/error.h"

namespace tessera {

Sample SampleFormat::from_document(std::string_view, DocumentPart, const Place& place) const {
  throw std::logic_error(place + ": this type of data set has no meaning for a plain text file");
}

std::unique_ptr<const SampleFormat> make_format(const DatasetSettings& dataset, const DataSettings& data,
                                                const Tokenizer* tokenizer) {
  if (dataset.type == DatasetType::tokenized) return tokenized_format();
  if (!tokenizer)
    throw JobError(
        "the data set {} holds text, and there is no tokenizer.json: name its directory with [model] tokenizer",
        dataset.name);
  switch (dataset.type) {
    case DatasetType::completion:
      return completion_format(dataset, *tokenizer);
    case DatasetType::alpaca:
      return alpaca_format(dataset, data, *tokenizer);
    case DatasetType::chat_template:
      return chat_format(dataset, data, *tokenizer);
    case DatasetType::input_output:
      return input_output_format(data, *tokenizer);
    case DatasetType::tokenized:
      break;
  }
  throw std::logic_error("make_format: a type of data set without a format");
}

void check_sample(const Sample& sample, int64_t vocab_size, const Place& place) {
  if (sample.labels.size() != sample.ids.size())
    throw DataError("{}: {} labels for {} input_ids; expected one label a token (-100: no loss)", place,
                    sample.labels.size(), sample.ids.size());
  for (size_t i = 0; i < sample.ids.size(); ++i) {
    const int32_t id = sample.ids[i], label = sample.labels[i];
    if (id < 0 || id >= vocab_size)
      throw DataError(
          "{}: token {} at position {} is outside the model's vocabulary of {}; was the tokenizer made for "
          "another model?",
          place, id, i, vocab_size);
    if (label != ignored_label && (label < 0 || label >= vocab_size))
      throw DataError("{}: label {} at position {} is neither -100 nor in the model's vocabulary of {}", place, label,
                      i, vocab_size);
  }
}

}  // namespace tessera
