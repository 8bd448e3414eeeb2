// Texts as they are: completion, input_output.
#include <algorithm>

#include "data/format.h"
#include "data/sample_parts.h"

namespace tessera {
namespace {

/// The text with what the tokenizer's post-processor puts around it, and EOS; every token carries loss.
class CompletionFormat : public SampleFormat {
 public:
  CompletionFormat(const DatasetSettings& dataset, const Tokenizer& tokenizer)
      : field_(dataset.field), tokenizer_(tokenizer), eos_(eos_of(tokenizer)) {}

  /// {"text": "…"}, or the text alone as a JSON string.
  Sample from_json(simdjson::dom::element record, const Place& place) const override {
    if (record.is_string()) return from_document(record.get_string(), DocumentPart(), place);
    return from_document(Fields(record, place).text(field_, "field"), DocumentPart(), place);
  }

  Sample from_document(std::string_view text, DocumentPart part, const Place&) const override {
    Sample sample;
    if (text.empty()) return sample;
    const auto [begins, ends] = part;
    sample.ids = tokenizer_.ids(text, begins && ends ? SpecialTokens::add
                                      : begins       ? SpecialTokens::add_before
                                      : ends         ? SpecialTokens::add_after
                                                     : SpecialTokens::leave_out);
    if (ends) append_eos(sample.ids, eos_);
    sample.labels = sample.ids;
    return sample;
  }

 private:
  std::string field_;
  const Tokenizer& tokenizer_;
  int32_t eos_;
};

/// {"segments": [{"label": true, "text": "…"}, …]}: the texts as they are, nothing added; those with label carry loss.
class InputOutputFormat : public SampleFormat {
 public:
  InputOutputFormat(const DataSettings& data, const Tokenizer& tokenizer)
      : train_on_inputs_(data.train_on_inputs), tokenizer_(tokenizer) {}

  Sample from_json(simdjson::dom::element record, const Place& place) const override {
    Sample sample;
    int64_t index = 0;
    for (const auto element : Fields(record, place).array("segments")) {
      const Fields segment(element, place, fmt::format("segments[{}]", index++));
      const Loss loss = segment.boolean("label") || train_on_inputs_ ? Loss::yes : Loss::no;
      append(sample, tokenizer_.ids(segment.text("text")), loss);
    }
    return sample;
  }

 private:
  bool train_on_inputs_;
  const Tokenizer& tokenizer_;
};

}  // namespace

std::unique_ptr<const SampleFormat> completion_format(const DatasetSettings& dataset, const Tokenizer& tokenizer) {
  return std::make_unique<CompletionFormat>(dataset, tokenizer);
}

std::unique_ptr<const SampleFormat> input_output_format(const DataSettings& data, const Tokenizer& tokenizer) {
  return std::make_unique<InputOutputFormat>(data, tokenizer);
}

}  // namespace tessera
