#include <algorithm>
#include <optional>

#include "data/chat_mask.h"
#include "data/format.h"

namespace tessera {
namespace {

/// The spellings of roles that axolotl knows.
std::optional<std::string> known_role(std::string_view role) {
  if (role == "user" || role == "human") return "user";
  if (role == "assistant" || role == "gpt") return "assistant";
  if (role == "system") return "system";
  return std::nullopt;
}

std::vector<std::string> roles_to_train(const DatasetSettings& dataset) {
  if (dataset.roles_to_train.empty()) return {"assistant"};
  std::vector<std::string> roles;
  for (const std::string& name : dataset.roles_to_train) {
    const auto role = known_role(name);
    if (!role)
      throw JobError("[dataset.{}] roles_to_train: {} is no role; expected assistant (gpt), user (human) or system",
                     dataset.name, name);
    roles.push_back(*role);
  }
  return roles;
}

/// {"messages": [{"role": …, "content": …}, …]}, or in ShareGPT's words {"conversations": [{"from": …, "value": …},
/// …]}: rendered by the chat template, tokenised as a whole, and masked by position.
class ChatFormat : public SampleFormat {
 public:
  ChatFormat(const DatasetSettings& dataset, const DataSettings& data, const Tokenizer& tokenizer)
      : dataset_(dataset),
        roles_to_train_(roles_to_train(dataset)),
        train_on_inputs_(data.train_on_inputs),
        template_(choose_template(dataset, tokenizer)),
        tokenizer_(tokenizer) {}

  Sample from_json(simdjson::dom::element record, const Place& place) const override {
    const std::vector<Message> messages = read_messages(Fields(record, place));
    const std::vector<ChatPiece> pieces = render(messages, place);
    std::string text;
    for (const ChatPiece& piece : pieces) text += piece.text;
    Encoding encoding = tokenizer_.encode(text, SpecialTokens::leave_out);  // the template writes BOS itself
    std::vector<int32_t> labels = labels_of(encoding, trained_ranges(pieces, trained(messages), dataset_.train_on_eos));
    return {std::move(encoding.ids), std::move(labels)};
  }

 private:
  std::vector<Message> read_messages(const Fields& fields) const {
    std::string key = name_or(dataset_.field_messages, "messages");
    if (dataset_.field_messages.empty() && !fields.has(key) && fields.has("conversations")) key = "conversations";
    std::vector<Message> messages;
    int64_t index = 0;
    for (const auto element : fields.array(key, "field_messages"))
      messages.push_back(read_message(Fields(element, fields.place(), fmt::format("{}[{}]", key, index++))));
    if (messages.empty()) throw DataError("{}: {} is empty", fields.place(), key);
    add_system(messages, fields.text_or_empty(name_or(dataset_.field_system, "system")));
    return messages;
  }

  Message read_message(const Fields& fields) const {
    const std::string role_key = one_of(fields, dataset_.message_field_role, "role", "from");
    const std::string content_key = one_of(fields, dataset_.message_field_content, "content", "value");
    const std::string_view written = fields.text(role_key, "message_field_role");
    const auto role = known_role(written);
    if (!role)
      throw DataError(
          "{}: {} is \"{}\", and the chat templates know only system, user (human) and assistant (gpt); "
          "rename the role, or leave such samples out with [data] on_error = skip",
          fields.place(), fields.name_of(role_key), written);
    return {*role, std::string(fields.text(content_key, "message_field_content"))};
  }

  static std::string one_of(const Fields& fields, const std::string& named, const char* usual, const char* sharegpt) {
    if (!named.empty()) return named;
    return !fields.has(usual) && fields.has(sharegpt) ? sharegpt : usual;
  }

  /// A system text beside the messages, or the data set's own, stands first where the messages have none.
  void add_system(std::vector<Message>& messages, std::string_view of_sample) const {
    const std::string_view system = of_sample.empty() ? std::string_view(dataset_.system_prompt) : of_sample;
    if (!system.empty() && messages.front().role != "system")
      messages.insert(messages.begin(), {"system", std::string(system)});
  }

  std::vector<ChatPiece> render(const std::vector<Message>& messages, const Place& place) const {
    try {
      return template_.render(messages, false);
    } catch (const DataError& error) {  // the template knows the conversation, but not where it stands
      throw DataError("{}: {}", place, error.what());
    }
  }

  std::vector<bool> trained(const std::vector<Message>& messages) const {
    std::vector<bool> trained;
    for (const Message& message : messages)
      trained.push_back(train_on_inputs_ || std::find(roles_to_train_.begin(), roles_to_train_.end(), message.role) !=
                                                roles_to_train_.end());
    return trained;
  }

  DatasetSettings dataset_;
  std::vector<std::string> roles_to_train_;
  bool train_on_inputs_;
  ChatTemplate template_;
  const Tokenizer& tokenizer_;
};

}  // namespace

ChatTemplate choose_template(const DatasetSettings& dataset, const Tokenizer& tokenizer) {
  if (!dataset.chat_template.empty() && dataset.chat_template != "tokenizer_default")
    return ChatTemplate::by_name(dataset.chat_template);
  return ChatTemplate::recognise(tokenizer.chat_template());
}

std::unique_ptr<const SampleFormat> chat_format(const DatasetSettings& dataset, const DataSettings& data,
                                                const Tokenizer& tokenizer) {
  return std::make_unique<ChatFormat>(dataset, data, tokenizer);
}

}  // namespace tessera
