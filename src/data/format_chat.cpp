#include <algorithm>
#include <array>
#include <optional>

#include "base/log.h"
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
  std::vector<std::string> roles;
  for (const std::string& name : dataset.roles_to_train) {
    const auto role = known_role(name);
    if (!role)
      throw JobError("[dataset.{}] roles_to_train: {} is not a role; expected assistant (gpt), user (human) or system",
                     dataset.name, name);
    roles.push_back(*role);
  }
  return roles;
}

/// Keys that templates of tool-calling and reasoning models render.  None of the built-in ones does, and a conversation
/// without what they hold would be another one.
constexpr std::array sample_keys_not_rendered = {"tools", "functions"};
constexpr std::array message_keys_not_rendered = {"tool_calls", "function_call", "reasoning_content"};

bool is_empty(simdjson::dom::element element) {
  simdjson::dom::array array;
  simdjson::dom::object object;
  std::string_view text;
  if (element.get_array().get(array) == simdjson::SUCCESS) return array.size() == 0;
  if (element.get_object().get(object) == simdjson::SUCCESS) return object.size() == 0;
  if (element.get_string().get(text) == simdjson::SUCCESS) return text.empty() || text == "[]" || text == "null";
  return element.is_null();
}

template <size_t N>
void refuse(const Fields& fields, const std::array<const char*, N>& keys) {
  for (const char* key : keys)
    if (fields.has(key) && !is_empty(fields.get(key)))
      throw DataError(
          "{}: {} is not supported by the built-in chat templates; render the text yourself and use type = "
          "input_output, or skip such samples with [data] on_error = skip",
          fields.place(), fields.name_of(key));
}

struct Conversation {
  std::vector<Message> messages;
  std::vector<bool> trained;  ///< whether a message's words carry loss
};

/// {"messages": [{"role": …, "content": …}, …]}, or in ShareGPT's words {"conversations": [{"from": …, "value": …},
/// …]}: rendered by the chat template, tokenised as a whole, and masked by position.
class ChatFormat : public SampleFormat {
 public:
  ChatFormat(const DatasetSettings& dataset, const DataSettings& data, const Tokenizer& tokenizer)
      : dataset_(dataset),
        roles_to_train_(roles_to_train(dataset)),
        train_on_inputs_(data.train_on_inputs),
        template_(choose_template(dataset, tokenizer)),
        tokenizer_(tokenizer) {
    if (!tokenizer.token_to_id(template_.end_of_turn()))
      log::warn(
          "[{}]: the chat template ends turns with {}, which is not a single token of this tokenizer, so the model has "
          "to learn it; check that the template belongs to the model",
          dataset.name, template_.end_of_turn());
  }

  Sample from_json(simdjson::dom::element record, const Place& place) const override {
    const Conversation conversation = read_conversation(Fields(record, place));
    const std::vector<ChatPiece> pieces = render(conversation.messages, place);
    std::string text;
    for (const ChatPiece& piece : pieces) text += piece.text;
    Encoding encoding = tokenizer_.encode(text, SpecialTokens::leave_out);  // the template writes BOS itself
    std::vector<int32_t> labels =
        labels_of(encoding, trained_ranges(pieces, conversation.trained, dataset_.train_on_eos));
    return {std::move(encoding.ids), std::move(labels)};
  }

 private:
  Conversation read_conversation(const Fields& fields) const {
    refuse(fields, sample_keys_not_rendered);
    const std::string key = one_of(fields, dataset_.field_messages, "messages", "conversations");
    Conversation conversation;
    int64_t index = 0;
    for (const auto element : fields.array(key, "field_messages")) {
      const Fields message(element, fields.place(), fmt::format("{}[{}]", key, index++));
      conversation.messages.push_back(read_message(message));
      conversation.trained.push_back(is_trained(message, conversation.messages.back().role));
    }
    if (conversation.messages.empty()) throw DataError("{}: {} is empty", fields.place(), key);
    add_system(conversation, fields.text_or_empty(dataset_.field_system.empty() ? "system" : dataset_.field_system));
    return conversation;
  }

  Message read_message(const Fields& fields) const {
    refuse(fields, message_keys_not_rendered);
    const std::string role_key = one_of(fields, dataset_.message_field_role, "role", "from");
    const std::string content_key = one_of(fields, dataset_.message_field_content, "content", "value");
    const std::string_view written = fields.text(role_key, "message_field_role");
    const auto role = known_role(written);
    if (!role)
      throw DataError(
          "{}: {} is \"{}\"; expected system, user (human) or assistant (gpt). Rename the role, or skip such samples "
          "with [data] on_error = skip",
          fields.place(), fields.name_of(role_key), excerpt(written));
    return {*role, std::string(fields.text(content_key, "message_field_content"))};
  }

  static std::string one_of(const Fields& fields, const std::string& named, const char* usual, const char* sharegpt) {
    if (!named.empty()) return named;
    return !fields.has(usual) && fields.has(sharegpt) ? sharegpt : usual;
  }

  /// axolotl's `training` says it of a message whatever its role; OpenAI's `weight` of 0 takes a message out, and that
  /// of 1 leaves it to its role.
  bool is_trained(const Fields& message, const std::string& role) const {
    const std::string& training = dataset_.message_field_training;
    if (message.has("weight") && weight_of(message) == 0) {
      if (message.has(training) && message.boolean(training))
        throw DataError("{}: {} is true but {} is 0; remove one of the two", message.place(), message.name_of(training),
                        message.name_of("weight"));
      return false;
    }
    return message.has(training) ? message.boolean(training) : is_trained(role);
  }

  bool is_trained(const std::string& role) const {
    return train_on_inputs_ || std::find(roles_to_train_.begin(), roles_to_train_.end(), role) != roles_to_train_.end();
  }

  static double weight_of(const Fields& message) {
    double weight = 0;
    if (message.get("weight").get_double().get(weight) != simdjson::SUCCESS || (weight != 0 && weight != 1))
      throw DataError("{}: {} is {}, expected 0 (no loss) or 1", message.place(), message.name_of("weight"),
                      shown(message.get("weight")));
    return weight;
  }

  /// A system text beside the messages, or the data set's own, stands first where the messages have none.
  void add_system(Conversation& conversation, std::string_view of_sample) const {
    const std::string_view system = of_sample.empty() ? std::string_view(dataset_.system_prompt) : of_sample;
    if (system.empty() || conversation.messages.front().role == "system") return;
    conversation.messages.insert(conversation.messages.begin(), {"system", std::string(system)});
    conversation.trained.insert(conversation.trained.begin(), is_trained("system"));
  }

  std::vector<ChatPiece> render(const std::vector<Message>& messages, const Place& place) const {
    try {
      return template_.render(messages, false);
    } catch (const DataError& error) {  // the template knows the conversation, but not where it stands
      throw DataError("{}: {}", place, error.what());
    }
  }

  DatasetSettings dataset_;
  std::vector<std::string> roles_to_train_;
  bool train_on_inputs_;
  ChatTemplate template_;
  const Tokenizer& tokenizer_;
};

}  // namespace

ChatTemplate choose_template(const DatasetSettings& dataset, const Tokenizer& tokenizer) {
  if (dataset.chat_template != "tokenizer_default") return ChatTemplate::by_name(dataset.chat_template);
  return ChatTemplate::recognise(tokenizer.chat_template());
}

std::unique_ptr<const SampleFormat> chat_format(const DatasetSettings& dataset, const DataSettings& data,
                                                const Tokenizer& tokenizer) {
  return std::make_unique<ChatFormat>(dataset, data, tokenizer);
}

}  // namespace tessera
