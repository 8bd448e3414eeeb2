#include "job/field_builder.h"

namespace tessera {
namespace {

std::vector<Field> dataset_text_fields() {
  const auto chat_templates = one_of({"chatml", "llama3", "llama2", "mistral", "tokenizer_default"});
  const auto train_on_eos = choice<TrainOnEos>(
      {{TrainOnEos::turn, "turn"}, {TrainOnEos::last, "last"}, {TrainOnEos::none, "none"}, {TrainOnEos::all, "all"}});
  return {
      dataset_key("field", &DatasetSettings::field, word(), "key of the text")
          .with("type", {"completion"})
          .filled("text"),
      dataset_key("field_system", &DatasetSettings::field_system, word(), "key of the system prompt")
          .with("type", {"alpaca"})
          .filled("system"),
      dataset_key("field_instruction", &DatasetSettings::field_instruction, word(), "key of the instruction")
          .with("type", {"alpaca"})
          .filled("instruction"),
      dataset_key("field_input", &DatasetSettings::field_input, word(), "key of the instruction's input")
          .with("type", {"alpaca"})
          .filled("input"),
      dataset_key("field_output", &DatasetSettings::field_output, word(), "key of the answer")
          .with("type", {"alpaca"})
          .filled("output"),
      dataset_key("field_messages", &DatasetSettings::field_messages, word(), "key of the list of messages")
          .with("type", {"chat_template"})
          .by_default("messages, or conversations where that is present"),
      dataset_key("message_field_role", &DatasetSettings::message_field_role, word(), "a message's key of the role")
          .with("type", {"chat_template"})
          .by_default("role, or from"),
      dataset_key("message_field_content", &DatasetSettings::message_field_content, word(),
                  "a message's key of the text")
          .with("type", {"chat_template"})
          .by_default("content, or value"),
      dataset_key("message_field_training", &DatasetSettings::message_field_training, word(),
                  "a message's key of whether it carries loss (true or false), in place of what its role says")
          .with("type", {"chat_template"})
          .filled("training"),
      dataset_key("chat_template", &DatasetSettings::chat_template, chat_templates,
                  "how a conversation is written; tokenizer_default: the built-in template that the tokenizer's own "
                  "is recognised as")
          .with("type", {"chat_template"})
          .filled("tokenizer_default"),
      dataset_key("system_prompt", &DatasetSettings::system_prompt, words(), "for samples that have none")
          .with("type", {"alpaca", "chat_template"}),
      dataset_key("roles_to_train", &DatasetSettings::roles_to_train, list(), "whose messages carry loss")
          .with("type", {"chat_template"})
          .filled("assistant"),
      dataset_key("train_on_eos", &DatasetSettings::train_on_eos, train_on_eos,
                  "which end-of-turn tokens carry loss: of the turns that do, the last one only, none, all")
          .with("type", {"chat_template"}),
  };
}

}  // namespace

Section dataset_section(const std::string& name, const std::string& help) {
  const auto types = choice<DatasetType>({{DatasetType::tokenized, "tokenized"},
                                          {DatasetType::completion, "completion"},
                                          {DatasetType::alpaca, "alpaca"},
                                          {DatasetType::chat_template, "chat_template"},
                                          {DatasetType::input_output, "input_output"}});
  Section section{
      name,
      help,
      true,
      {dataset_key("path", &DatasetSettings::path, path_or_glob(),
                   ".jsonl, .json or .txt files, each also as .gz or .zst")
           .must_be_given(),
       dataset_key("type", &DatasetSettings::type, types, "the format of a sample").must_be_given(),
       dataset_key("repeat", &DatasetSettings::repeat, whole_number(1, 10'000), "times that it comes in an epoch"),
       dataset_key("limit", &DatasetSettings::limit, whole_number(0, most::samples),
                   "only the first so many samples; 0: all")
           .off_at_zero()}};
  for (Field& field : dataset_text_fields()) section.fields.push_back(std::move(field));
  return section;
}

}  // namespace tessera
