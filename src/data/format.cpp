#include "data/format.h"

#include <stdexcept>

#include "base/error.h"

namespace tessera {

Sample SampleFormat::from_document(std::string_view, DocumentPart, const Place& place) const {
  throw std::logic_error(place + ": this type of data set has no meaning for a plain text file");
}

std::unique_ptr<const SampleFormat> make_format(const DatasetSettings& dataset, const DataSettings& data,
                                                const Tokenizer* tokenizer) {
  const DatasetKind kind = dataset.type->kind;
  if (kind == DatasetKind::tokenized) return tokenized_format();
  if (!tokenizer)
    throw JobError("the data set {} holds text, but there is no tokenizer.json; set [model] tokenizer to its directory",
                   dataset.name);
  switch (kind) {
    case DatasetKind::completion:
      return completion_format(dataset, *tokenizer);
    case DatasetKind::instruction:
    case DatasetKind::user_defined:
      return instruction_format(dataset, data, *tokenizer);
    case DatasetKind::chat:
      return chat_format(dataset, data, *tokenizer);
    case DatasetKind::input_output:
      return input_output_format(data, *tokenizer);
    case DatasetKind::tokenized:
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
          "{}: token {} at position {} is outside the model's vocabulary of {}; check that the tokenizer belongs to "
          "the model",
          place, id, i, vocab_size);
    if (label != ignored_label && (label < 0 || label >= vocab_size))
      throw DataError("{}: label {} at position {} is neither -100 nor in the model's vocabulary of {}", place, label,
                      i, vocab_size);
  }
}

}  // namespace tessera
