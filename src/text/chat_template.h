#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

struct Message {
  std::string role;  ///< system, user, assistant (names such as "human", "gpt" are mapped before)
  std::string content;
};

/// One piece of a rendered conversation.  The pieces concatenated are exactly what the Hugging Face template renders.
struct ChatPiece {
  enum class Kind { scaffold, content, end_of_turn };
  Kind kind;
  int message;  ///< index into the conversation; -1 for scaffold that belongs to none
  std::string text;
};

/// The chat templates that are built in, chosen by name: chatml, llama3, llama2, mistral.  llama2 and mistral write a
/// system message into the first user message.
class ChatTemplate {
 public:
  /// Throws JobError for an unknown name (naming the nearest).
  static ChatTemplate by_name(std::string_view name);
  /// The built-in template that renders as this Jinja text does, recognised by its marks (with its default system
  /// prompt taken from it, as SmolLM2's and Qwen2's have one).  Throws JobError if none does; then chat_template must
  /// name one.
  static ChatTemplate recognise(std::string_view jinja);

  const std::string& name() const { return name_; }
  /// Throws DataError if the roles do not fit the template (llama2: user and assistant alternate).
  std::vector<ChatPiece> render(const std::vector<Message>& messages, bool add_generation_prompt) const;
  /// The token text that ends an assistant's turn: "<|im_end|>".
  const std::string& end_of_turn() const { return end_of_turn_; }

 private:
  enum class Family { chatml, llama3, llama2, mistral };

  std::vector<ChatPiece> render_chatml(const std::vector<Message>& messages) const;
  std::vector<ChatPiece> render_llama3(const std::vector<Message>& messages) const;
  std::vector<ChatPiece> render_instructions(const std::vector<Message>& messages) const;

  Family family_ = Family::chatml;
  std::string name_;
  std::string end_of_turn_;
  std::string default_system_;     ///< chatml: written where the conversation has no system message of its own
  std::string generation_prompt_;  ///< what add_generation_prompt adds
  bool always_prompts_ = false;    ///< Llama 3's first template always adds it
  bool thinks_ = false;            ///< Qwen3: <think> before the answers to the last question, and nowhere else
  bool plain_roles_ = false;       ///< other roles than system, user and assistant render in another way
  std::string before_answer_, after_turn_;  ///< llama2, mistral: spaces around the assistant's text
};

}  // namespace tessera
