#include <fmt/format.h>

#include <map>

#include "job/field_builder.h"
#include "job/ini.h"

namespace tessera {
namespace {

std::vector<Field> dataset_text_fields() {
  const auto chat_templates = one_of({"chatml", "llama3", "llama2", "mistral", "tokenizer_default"});
  const auto train_on_eos = choice<TrainOnEos>(
      {{TrainOnEos::turn, "turn"}, {TrainOnEos::last, "last"}, {TrainOnEos::none, "none"}, {TrainOnEos::all, "all"}});
  return {
      dataset_key("field", &DatasetSettings::field, word(), "JSON key of the text").with("type", {"completion"}),
      dataset_key("field_system", &DatasetSettings::field_system, word(), "JSON key of the system prompt")
          .with("type", {"alpaca"}),
      dataset_key("field_instruction", &DatasetSettings::field_instruction, word(), "JSON key of the instruction")
          .with("type", {"alpaca"}),
      dataset_key("field_input", &DatasetSettings::field_input, word(), "JSON key of the optional input")
          .with("type", {"alpaca"}),
      dataset_key("field_output", &DatasetSettings::field_output, word(), "JSON key of the answer")
          .with("type", {"alpaca"}),
      dataset_key("field_messages", &DatasetSettings::field_messages, word(), "JSON key of the list of messages")
          .with("type", {"chat_template"})
          .by_default("messages, or conversations if present"),
      dataset_key("message_field_role", &DatasetSettings::message_field_role, word(), "JSON key of a message's role")
          .with("type", {"chat_template"})
          .by_default("role, or from"),
      dataset_key("message_field_content", &DatasetSettings::message_field_content, word(),
                  "JSON key of a message's text")
          .with("type", {"chat_template"})
          .by_default("content, or value"),
      dataset_key("message_field_training", &DatasetSettings::message_field_training, word(),
                  "JSON key of a message's training flag: true or false, which overrides roles_to_train")
          .with("type", {"chat_template"}),
      dataset_key("chat_template", &DatasetSettings::chat_template, chat_templates,
                  "Chat template. tokenizer_default: the built-in template that matches the tokenizer's own")
          .with("type", {"chat_template"}),
      dataset_key("system_prompt", &DatasetSettings::system_prompt, words(), "System prompt of samples that have none")
          .with("type", {"alpaca", "chat_template"}),
      dataset_key("roles_to_train", &DatasetSettings::roles_to_train, list(), "Roles whose messages are trained on")
          .with("type", {"chat_template"}),
      dataset_key("train_on_eos", &DatasetSettings::train_on_eos, train_on_eos,
                  "End-of-turn tokens to train on: of every trained turn, of the last trained turn, none, or all")
          .with("type", {"chat_template"}),
  };
}

/// The formats, and for the words of other programs what they are called here.
Value<DatasetType> dataset_types() {
  auto types = choice<DatasetType>({{DatasetType::tokenized, "tokenized"},
                                    {DatasetType::completion, "completion"},
                                    {DatasetType::alpaca, "alpaca"},
                                    {DatasetType::chat_template, "chat_template"},
                                    {DatasetType::input_output, "input_output"}});
  const std::string chat =
      "chat_template, which reads ShareGPT's conversations (from, value) and OpenAI's messages "
      "(role, content) as they are";
  const std::string text = "completion, which takes plain text";
  const std::map<std::string, std::string> elsewhere = {
      {"sharegpt", chat},           {"share_gpt", chat},       {"chat", chat},         {"chatml", chat},
      {"conversation", chat},       {"conversations", chat},   {"messages", chat},     {"openai", chat},
      {"pretrain", text},           {"pretraining", text},     {"text", text},         {"raw", text},
      {"plain_text", text},         {"instruction", "alpaca"}, {"instruct", "alpaca"}, {"alpaca_chat", "alpaca"},
      {"alpaca_w_system", "alpaca"}};
  types.read = [read = types.read, elsewhere](const std::string& name, const Path& folder) {
    const std::string kind = name.substr(0, name.find('.'));  // axolotl's sharegpt.load_role
    if (const auto known = elsewhere.find(kind); known != elsewhere.end())
      throw WrongValue{fmt::format("{}; use {}", ini::quoted(name), known->second)};
    return read(name, folder);
  };
  return types;
}

}  // namespace

Section dataset_section(const std::string& name, const std::string& help) {
  Section section{name,
                  help,
                  true,
                  {dataset_key("path", &DatasetSettings::path, path_or_glob(),
                               "Data files: .jsonl, .json or .txt, optionally compressed as .gz or .zst")
                       .must_be_given(),
                   dataset_key("type", &DatasetSettings::type, dataset_types(), "Sample format").must_be_given(),
                   dataset_key("repeat", &DatasetSettings::repeat, whole_number(1, 10'000), "Repetitions per epoch"),
                   dataset_key("limit", &DatasetSettings::limit, whole_number(0, most::samples),
                               "Use only this many samples from the start. 0: all")
                       .off_at_zero()}};
  for (Field& field : dataset_text_fields()) section.fields.push_back(std::move(field));
  return section;
}

}  // namespace tessera
