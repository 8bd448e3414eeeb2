// An instruction and its answer, each tokenised by itself as axolotl does, so that a prompt has the same tokens here as
// when the model is asked later.
#include <algorithm>
#include <array>

#include "data/format.h"
#include "data/sample_parts.h"
#include "data/text_pattern.h"

namespace tessera {
namespace {

std::string lines_of(simdjson::dom::array list, const Fields& fields, std::string_view key) {
  std::string lines;
  for (const auto item : list) {
    std::string_view text;
    if (item.get_string().get(text) != simdjson::SUCCESS)
      throw DataError("{}: {} has {}, expected strings", fields.place(), fields.name_of(key), type_name(item));
    lines += fmt::format("{}- \"{}\"", lines.empty() ? "" : "\n", text);
  }
  return lines;
}

/// A text made of keys of a record.
class RecordText {
 public:
  /// `key`: what the job names in place of the pattern's key; empty: nothing.  `setting`: the job's key for that.
  RecordText(std::string_view pattern, const std::string& key, const char* setting)
      : pattern_(key.empty() ? TextPattern(pattern) : TextPattern::of_key(key)), setting_(setting) {}

  /// Throws DataError where a key is missing.
  std::string of(const Fields& fields) const {
    return pattern_.filled([&](std::string_view names) { return value(fields, chosen(fields, names)); });
  }
  /// Empty where the keys are missing.
  std::string or_nothing(const Fields& fields) const { return is_there(fields) ? of(fields) : std::string(); }
  bool is_there(const Fields& fields) const {
    return std::ranges::all_of(pattern_.names(),
                               [&](std::string_view names) { return fields.has(chosen(fields, names)); });
  }
  /// Are all of its keys there, and none empty?
  bool is_whole(const Fields& fields) const {
    return is_there(fields) && std::ranges::none_of(pattern_.names(), [&](std::string_view names) {
             return value(fields, chosen(fields, names)).empty();
           });
  }

 private:
  /// Of KEY|OTHER the first that is there.
  static std::string_view chosen(const Fields& fields, std::string_view names) {
    const size_t bar = names.find('|');
    if (bar == std::string_view::npos || fields.has(names.substr(0, bar))) return names.substr(0, bar);
    return names.substr(bar + 1);
  }
  std::string value(const Fields& fields, std::string_view key) const {
    const auto found = fields.get(key, pattern_.is_one_name() ? setting_ : "");
    simdjson::dom::array list;
    if (found.get_array().get(list) == simdjson::SUCCESS) return lines_of(list, fields, key);
    return std::string(fields.text(key));
  }

  TextPattern pattern_;
  const char* setting_;
};

/// What stands around an instruction.
class PromptText {
 public:
  PromptText(std::string_view pattern, const std::string& where) : pattern_(pattern) {
    for (const std::string_view name : pattern_.names())
      if (std::ranges::find(known, name) == known.end())
        throw JobError(
            "{}: {{{}}} is not replaced; expected {{instruction}}, {{input}} or {{system}}, and {{{{ for a brace",
            where, name);
  }
  std::string filled(std::string_view instruction, std::string_view input, std::string_view system) const {
    return pattern_.filled([&](std::string_view name) {
      return std::string(name == known[0] ? instruction : name == known[1] ? input : system);
    });
  }

 private:
  static constexpr std::array<std::string_view, 3> known = {"instruction", "input", "system"};
  TextPattern pattern_;
};

/// The format of the data set, whether a row of the table or the job's own.  Points into `own` and `dataset`.
InstructionFormat format_of(const DatasetSettings& dataset, PromptStyle& own) {
  if (dataset.type->kind != DatasetKind::user_defined) return dataset.type->format;
  own = {dataset.format, dataset.no_input_format, dataset.system_format};
  return {.style = &own, .system = "{system}"};
}

class InstructionSamples : public SampleFormat {
 public:
  InstructionSamples(const DatasetSettings& dataset, const InstructionFormat& format, const DataSettings& data,
                     const Tokenizer& tokenizer)
      : instruction_(format.instruction, dataset.field_instruction, "field_instruction"),
        input_(format.input, dataset.field_input, "field_input"),
        output_(format.output, dataset.field_output, "field_output"),
        system_(format.system, dataset.field_system, "field_system"),
        with_input_(format.style->with_input, where(dataset, "format")),
        without_input_(format.style->without_input, where(dataset, "no_input_format")),
        before_(format.style->system, where(dataset, "system_format")),
        has_system_(!format.system.empty()),
        opening_with_input_(format.opening_with_input),
        opening_without_input_(format.opening_without_input),
        system_prompt_(dataset.system_prompt),
        ends_(format.ends),
        as_one_(format.as_one),
        prompt_loss_(data.train_on_inputs ? Loss::yes : Loss::no),
        tokenizer_(tokenizer),
        eos_(eos_of(tokenizer)) {}

  Sample from_json(simdjson::dom::element record, const Place& place) const override {
    const Fields fields(record, place);
    const std::string prompt = prompt_of(fields);
    if (as_one_) return made_as_one(prompt, output_.is_whole(fields) ? output_.of(fields) : "");
    Sample sample;
    append(sample, tokenizer_.ids(prompt, SpecialTokens::add), prompt_loss_);
    append(sample, answer(output_.of(fields)), Loss::yes);
    return sample;
  }

 private:
  static std::string where(const DatasetSettings& dataset, const char* key) {
    return fmt::format("[dataset.{}] {}", dataset.name, key);
  }

  std::string prompt_of(const Fields& fields) const {
    const std::string instruction = instruction_.of(fields), input = input_.or_nothing(fields);
    std::string system(input.empty() ? opening_without_input_ : opening_with_input_);
    if (has_system_) system = system_.is_there(fields) ? system_.of(fields) : system_prompt_;
    const PromptText& turn = input.empty() ? without_input_ : with_input_;
    std::string prompt;
    if (!system.empty()) prompt = before_.filled({}, {}, system);
    return prompt += turn.filled(instruction, input, system);
  }

  /// An empty answer stays empty: the sample then teaches nothing, and is counted as such.
  std::vector<int32_t> answer(std::string_view text) const {
    if (text.empty()) return {};
    std::vector<int32_t> ids = tokenizer_.ids(text, SpecialTokens::add);
    append_eos(ids, eos_, ends_);
    if (!ids.empty() && ids.front() == tokenizer_.bos_id()) ids.erase(ids.begin());
    return ids;
  }

  Sample made_as_one(const std::string& prompt, const std::string& answer) const {
    Sample sample;
    sample.ids = tokenizer_.ids(prompt + answer, SpecialTokens::add);
    append_eos(sample.ids, eos_, ends_);
    sample.labels = sample.ids;
    const size_t asked = std::min(tokenizer_.ids(prompt, SpecialTokens::add).size(), sample.labels.size());
    if (prompt_loss_ == Loss::no) std::fill_n(sample.labels.begin(), asked, ignored_label);
    return sample;
  }

  RecordText instruction_, input_, output_, system_;
  PromptText with_input_, without_input_, before_;
  bool has_system_;
  std::string opening_with_input_, opening_without_input_, system_prompt_;
  int ends_;
  bool as_one_;
  Loss prompt_loss_;
  const Tokenizer& tokenizer_;
  int32_t eos_;
};

}  // namespace

std::unique_ptr<const SampleFormat> instruction_format(const DatasetSettings& dataset, const DataSettings& data,
                                                       const Tokenizer& tokenizer) {
  PromptStyle own;
  const InstructionFormat format = format_of(dataset, own);
  return std::make_unique<InstructionSamples>(dataset, format, data, tokenizer);
}

}  // namespace tessera
