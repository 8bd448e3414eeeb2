#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "job/dataset_types.h"
#include "job/field_builder.h"
#include "job/ini.h"

namespace tessera {
namespace {

constexpr const char* instruction_words = "types of an instruction and an answer";

std::vector<std::string> types_with_instruction() {
  std::vector<std::string> names = dataset_type_names(DatasetKind::instruction);
  names.emplace_back("user_defined");
  return names;
}

std::vector<std::string> types_with_system() {
  std::vector<std::string> names = {"chat_template", "sharegpt", "user_defined"};
  for (const DatasetType& type : dataset_types())
    if (!type.format.system.empty()) names.emplace_back(type.name);
  return names;
}

std::vector<Field> dataset_text_fields() {
  const auto chat_templates = one_of({"chatml", "llama3", "llama2", "mistral", "tokenizer_default"});
  const auto train_on_eos = choice<TrainOnEos>(
      {{TrainOnEos::turn, "turn"}, {TrainOnEos::last, "last"}, {TrainOnEos::none, "none"}, {TrainOnEos::all, "all"}});
  return {
      dataset_key("field", &DatasetSettings::field, word(), "JSON key of the text").with("type", {"completion"}),
      dataset_key("document", &DatasetSettings::document,
                  choice<TextUnit>({{TextUnit::line, "line"}, {TextUnit::file, "file"}}),
                  "What is one sample of a .txt file: each line, or the whole file")
          .with("type", {"completion"}),
      dataset_key("field_system", &DatasetSettings::field_system, words(), "JSON key of the system text")
          .with_types(types_with_system(), "types that have a system text")
          .by_default("the type's own"),
      dataset_key("field_instruction", &DatasetSettings::field_instruction, words(), "JSON key of the instruction")
          .with_types(types_with_instruction(), instruction_words)
          .by_default("the type's own"),
      dataset_key("field_input", &DatasetSettings::field_input, words(), "JSON key of the optional input")
          .with_types(types_with_instruction(), instruction_words)
          .by_default("the type's own"),
      dataset_key("field_output", &DatasetSettings::field_output, words(), "JSON key of the answer")
          .with_types(types_with_instruction(), instruction_words)
          .by_default("the type's own"),
      dataset_key("format", &DatasetSettings::format, word(),
                  "What becomes of a record with an input: {instruction}, {input} and {system} are replaced")
          .with("type", {"user_defined"}),
      dataset_key("no_input_format", &DatasetSettings::no_input_format, word(), "The same of one without an input")
          .with("type", {"user_defined"}),
      dataset_key("system_format", &DatasetSettings::system_format, word(),
                  "What stands before it where there is a system text")
          .with("type", {"user_defined"}),
      dataset_key("field_messages", &DatasetSettings::field_messages, word(), "JSON key of the list of messages")
          .with("type", dataset_type_names(DatasetKind::chat))
          .by_default("messages, or conversations if present"),
      dataset_key("message_field_role", &DatasetSettings::message_field_role, word(), "JSON key of a message's role")
          .with("type", dataset_type_names(DatasetKind::chat))
          .by_default("role, or from"),
      dataset_key("message_field_content", &DatasetSettings::message_field_content, word(),
                  "JSON key of a message's text")
          .with("type", dataset_type_names(DatasetKind::chat))
          .by_default("content, or value"),
      dataset_key("message_field_training", &DatasetSettings::message_field_training, word(),
                  "JSON key of a message's training flag: true or false, which overrides roles_to_train")
          .with("type", dataset_type_names(DatasetKind::chat)),
      dataset_key("chat_template", &DatasetSettings::chat_template, chat_templates,
                  "Chat template. tokenizer_default: the built-in template that matches the tokenizer's own")
          .with("type", dataset_type_names(DatasetKind::chat)),
      dataset_key("system_prompt", &DatasetSettings::system_prompt, words(), "System prompt of samples that have none")
          .with_types(types_with_system(), "types that have a system text"),
      dataset_key("roles_to_train", &DatasetSettings::roles_to_train, list(), "Roles whose messages are trained on")
          .with("type", dataset_type_names(DatasetKind::chat)),
      dataset_key("train_on_eos", &DatasetSettings::train_on_eos, train_on_eos,
                  "End-of-turn tokens to train on: of every trained turn, of the last trained turn, none, or all")
          .with("type", dataset_type_names(DatasetKind::chat)),
  };
}

/// The types, and for the words of other programs what they are called here.
Value<const DatasetType*> type_of_dataset() {
  Value<const DatasetType*> value;
  value.choices = dataset_type_names();
  value.expected =
      "chat_template, completion, alpaca, input_output, tokenized, user_defined, or another type (docs/data.md#types)";
  const std::string chat =
      "chat_template, which reads ShareGPT's conversations (from, value) and OpenAI's messages "
      "(role, content) as they are";
  const std::string text = "completion, which takes plain text";
  const std::map<std::string, std::string> elsewhere = {
      {"sharegpt", "sharegpt"}, {"share_gpt", chat},
      {"chat", chat},           {"chatml", chat},
      {"conversation", chat},   {"conversations", chat},
      {"messages", chat},       {"openai", chat},
      {"pretrain", text},       {"pretraining", text},
      {"text", text},           {"raw", text},
      {"plain_text", text},     {"instruction", "alpaca"},
      {"instruct", "alpaca"},   {"llama2_chat", "chat_template with chat_template = llama2"}};
  value.read = [choices = value.choices, expected = value.expected, elsewhere](const std::string& name, const Path&) {
    const std::string kind = name.substr(0, name.find('.'));  // axolotl's sharegpt.load_role
    const auto known = elsewhere.find(kind);
    if (known != elsewhere.end() && std::ranges::find(choices, name) == choices.end())
      throw WrongValue{fmt::format("{}; use {}", ini::quoted(name), known->second)};
    return &dataset_types()[index_of_choice(name, choices, expected)];
  };
  value.write = [](const DatasetType* const& type) {
    return type == nullptr ? std::string() : std::string(type->name);
  };
  return value;
}

}  // namespace

Section dataset_section(const std::string& name, const std::string& help) {
  Section section{name,
                  help,
                  true,
                  {dataset_key("path", &DatasetSettings::path, path_or_glob(),
                               "Data files: .jsonl, .json, .csv, .tsv or .txt, optionally compressed as .gz or .zst")
                       .must_be_given(),
                   dataset_key("type", &DatasetSettings::type, type_of_dataset(), "Sample format").must_be_given(),
                   dataset_key("repeat", &DatasetSettings::repeat, whole_number(1, 10'000), "Repetitions per epoch"),
                   dataset_key("limit", &DatasetSettings::limit, whole_number(0, most::samples),
                               "Use only this many samples from the start. 0: all")
                       .off_at_zero(),
                   dataset_key("shards", &DatasetSettings::shards, whole_number(1, most::samples),
                               "Use one of every so many samples, the one of number shards_idx"),
                   dataset_key("shards_idx", &DatasetSettings::shards_idx, whole_number(0, most::samples),
                               "Number of the shard, from 0"),
                   dataset_key("overlong", &DatasetSettings::overlong, optional_value(overlong_choice(false)),
                               "What to do with samples longer than sequence_len")
                       .by_default("[data] overlong")}};
  for (Field& field : dataset_text_fields()) section.fields.push_back(std::move(field));
  return section;
}

}  // namespace tessera
