// The formats that put texts one after the other, each tokenised by itself as axolotl does, so that a prompt has the
// same tokens here as when the model is asked later: completion, alpaca, input_output.
#include <algorithm>

#include "data/format.h"

namespace tessera {
namespace {

int32_t eos_of(const Tokenizer& tokenizer) {
  if (const auto eos = tokenizer.eos_id()) return *eos;
  throw DataError("the tokenizer has no eos_token to end a sample with; set one in tokenizer_config.json");
}

enum class Loss { no, yes };

void append(Sample& sample, const std::vector<int32_t>& ids, Loss loss) {
  sample.ids.insert(sample.ids.end(), ids.begin(), ids.end());
  if (loss == Loss::yes)
    sample.labels.insert(sample.labels.end(), ids.begin(), ids.end());
  else
    sample.labels.insert(sample.labels.end(), ids.size(), ignored_label);
}

void append_eos(std::vector<int32_t>& ids, int32_t eos) {
  if (!ids.empty() && ids.back() != eos) ids.push_back(eos);
}

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

/// The prompt of Stanford Alpaca (Taori et al. 2023).  A sample that has a system text gets that before it instead of
/// the usual opening, as axolotl's alpaca_w_system does.
std::string alpaca_prompt(std::string_view system, std::string_view instruction, std::string_view input) {
  std::string prompt;
  if (!system.empty())
    prompt = fmt::format("### System:\n{}\n\n", system);
  else if (!input.empty())
    prompt =
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request.\n\n";
  else
    prompt =
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n";
  prompt += fmt::format("### Instruction:\n{}\n\n", instruction);
  if (!input.empty()) prompt += fmt::format("### Input:\n{}\n\n", input);
  return prompt + "### Response:\n";
}

/// The prompt, without loss unless train_on_inputs asks for it, and the answer with EOS.
class AlpacaFormat : public SampleFormat {
 public:
  AlpacaFormat(const DatasetSettings& dataset, const DataSettings& data, const Tokenizer& tokenizer)
      : field_system_(dataset.field_system),
        field_instruction_(dataset.field_instruction),
        field_input_(dataset.field_input),
        field_output_(dataset.field_output),
        system_prompt_(dataset.system_prompt),
        prompt_loss_(data.train_on_inputs ? Loss::yes : Loss::no),
        tokenizer_(tokenizer),
        eos_(eos_of(tokenizer)) {}

  Sample from_json(simdjson::dom::element record, const Place& place) const override {
    const Fields fields(record, place);
    std::string_view system = fields.text_or_empty(field_system_);
    if (system.empty()) system = system_prompt_;
    const std::string prompt =
        alpaca_prompt(system, fields.text(field_instruction_, "field_instruction"), fields.text_or_empty(field_input_));
    Sample sample;
    append(sample, tokenizer_.ids(prompt, SpecialTokens::add), prompt_loss_);
    append(sample, answer(fields.text(field_output_, "field_output")), Loss::yes);
    return sample;
  }

 private:
  /// An empty answer stays empty: the sample then teaches nothing, and is counted as such.
  std::vector<int32_t> answer(std::string_view text) const {
    if (text.empty()) return {};
    std::vector<int32_t> ids = tokenizer_.ids(text, SpecialTokens::add);
    append_eos(ids, eos_);
    if (!ids.empty() && ids.front() == tokenizer_.bos_id()) ids.erase(ids.begin());
    return ids;
  }

  std::string field_system_, field_instruction_, field_input_, field_output_, system_prompt_;
  Loss prompt_loss_;
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

std::unique_ptr<const SampleFormat> alpaca_format(const DatasetSettings& dataset, const DataSettings& data,
                                                  const Tokenizer& tokenizer) {
  return std::make_unique<AlpacaFormat>(dataset, data, tokenizer);
}

std::unique_ptr<const SampleFormat> input_output_format(const DataSettings& data, const Tokenizer& tokenizer) {
  return std::make_unique<InputOutputFormat>(data, tokenizer);
}

}  // namespace tessera
