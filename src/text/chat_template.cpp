#include "text/chat_template.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/nearest.h"
#include "text/python_strip.h"

namespace tessera {
namespace {

const std::vector<std::string> template_names = {"chatml", "llama3", "llama2", "mistral"};

void add(std::vector<ChatPiece>& pieces, ChatPiece::Kind kind, size_t message, std::string text) {
  if (!text.empty()) pieces.push_back({kind, static_cast<int>(message), std::move(text)});
}
using enum ChatPiece::Kind;
constexpr size_t no_message = static_cast<size_t>(-1);

/// What a model that thinks wrote before its answer, and the answer.
struct Thought {
  std::string reasoning, answer;
};
Thought split_thought(const std::string& text) {
  const std::string begin = "<think>", end = "</think>";
  const size_t first_end = text.find(end);
  if (first_end == std::string::npos) return {"", text};
  std::string reasoning = python_strip(text.substr(0, first_end), "\n", Side::right);
  if (const size_t start = reasoning.rfind(begin); start != std::string::npos) reasoning.erase(0, start + begin.size());
  return {python_strip(reasoning, "\n", Side::left),
          python_strip(text.substr(text.rfind(end) + end.size()), "\n", Side::left)};
}

/// The last question of the conversation: what tools answered does not count.
size_t last_query(const std::vector<Message>& messages) {
  for (size_t i = messages.size(); i-- > 0;) {
    const std::string& text = messages[i].content;
    const bool of_tool = text.starts_with("<tool_response>") && text.ends_with("</tool_response>");
    if (messages[i].role == "user" && !of_tool) return i;
  }
  return messages.empty() ? 0 : messages.size() - 1;
}

}  // namespace

ChatTemplate ChatTemplate::by_name(std::string_view name) {
  ChatTemplate result;
  result.name_ = name;
  if (name == "chatml") {
    result.family_ = Family::chatml;
    result.end_of_turn_ = "<|im_end|>";
    result.generation_prompt_ = "<|im_start|>assistant\n";
  } else if (name == "llama3") {
    result.family_ = Family::llama3;
    result.end_of_turn_ = "<|eot_id|>";
    result.generation_prompt_ = "<|start_header_id|>assistant<|end_header_id|>\n\n";
  } else if (name == "llama2") {
    result.family_ = Family::llama2;
    result.end_of_turn_ = "</s>";
    result.before_answer_ = " ";
  } else if (name == "mistral") {
    result.family_ = Family::mistral;
    result.end_of_turn_ = "</s>";
  } else {
    throw JobError("no chat template \"{}\"; did you mean {}?  Available: {}", name, nearest(name, template_names),
                   fmt::join(template_names, ", "));
  }
  return result;
}

std::vector<ChatPiece> ChatTemplate::render(const std::vector<Message>& messages, bool add_generation_prompt) const {
  std::vector<ChatPiece> pieces = family_ == Family::chatml   ? render_chatml(messages)
                                  : family_ == Family::llama3 ? render_llama3(messages)
                                                              : render_instructions(messages);
  if (add_generation_prompt || always_prompts_) add(pieces, scaffold, no_message, generation_prompt_);
  return pieces;
}

std::vector<ChatPiece> ChatTemplate::render_chatml(const std::vector<Message>& messages) const {
  std::vector<ChatPiece> pieces;
  const size_t query = last_query(messages);
  if (!default_system_.empty() && !messages.empty() && messages[0].role != "system") {
    add(pieces, scaffold, no_message, "<|im_start|>system\n" + default_system_ + "<|im_end|>\n");
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    const bool answers = message.role == "assistant";
    if (plain_roles_ && !answers && message.role != "user" && message.role != "system") {
      throw DataError("message {} of the conversation has the role \"{}\"; expected system, user or assistant", i + 1,
                      message.role);
    }
    add(pieces, scaffold, i, "<|im_start|>" + message.role + "\n");
    if (!thinks_ || !answers) {
      add(pieces, content, i, message.content);
    } else {
      const Thought thought = split_thought(message.content);
      const bool shows = i > query && (i + 1 == messages.size() || !thought.reasoning.empty());
      const std::string before = "<think>\n" + python_strip(thought.reasoning, "\n") + "\n</think>\n\n";
      // An empty thought is written by the template, one that the message brought along by the model.
      if (shows) add(pieces, thought.reasoning.empty() ? scaffold : content, i, before);
      add(pieces, content, i, shows ? python_strip(thought.answer, "\n", Side::left) : thought.answer);
    }
    add(pieces, ChatPiece::Kind::end_of_turn, i, end_of_turn_);
    add(pieces, scaffold, i, "\n");
  }
  return pieces;
}

std::vector<ChatPiece> ChatTemplate::render_llama3(const std::vector<Message>& messages) const {
  std::vector<ChatPiece> pieces;
  if (!messages.empty()) add(pieces, scaffold, no_message, "<|begin_of_text|>");
  for (size_t i = 0; i < messages.size(); ++i) {
    add(pieces, scaffold, i, "<|start_header_id|>" + messages[i].role + "<|end_header_id|>\n\n");
    add(pieces, content, i, python_strip(messages[i].content));
    add(pieces, ChatPiece::Kind::end_of_turn, i, end_of_turn_);
  }
  return pieces;
}

/// llama2: <s>[INST] question [/INST] answer </s>, each turn with its <s>, and spaces around texts cut off.
/// mistral: <s>[INST] question [/INST]answer</s>, one <s> for all.
std::vector<ChatPiece> ChatTemplate::render_instructions(const std::vector<Message>& messages) const {
  const bool is_llama2 = family_ == Family::llama2;
  const bool has_system = !messages.empty() && messages[0].role == "system";
  std::vector<ChatPiece> pieces;
  if (!is_llama2) add(pieces, scaffold, no_message, "<s>");
  for (size_t i = has_system; i < messages.size(); ++i) {
    const Message& message = messages[i];
    const bool asks = (i - has_system) % 2 == 0;
    if (message.role != (asks ? "user" : "assistant")) {
      throw DataError(
          "message {} of the conversation has the role \"{}\", but {} expects \"{}\": user and assistant alternate",
          i + 1, message.role, name_, asks ? "user" : "assistant");
    }
    if (!asks) {
      add(pieces, scaffold, i, before_answer_);
      add(pieces, content, i, is_llama2 ? python_strip(message.content) : message.content);
      if (is_llama2) add(pieces, scaffold, i, " ");
      add(pieces, ChatPiece::Kind::end_of_turn, i, end_of_turn_);
      add(pieces, scaffold, i, after_turn_);
      continue;
    }
    add(pieces, scaffold, i, is_llama2 ? "<s>[INST] " : "[INST] ");
    if (has_system && i == 1) {
      if (is_llama2) add(pieces, scaffold, 0, "<<SYS>>\n");
      add(pieces, content, 0, messages[0].content);
      const std::string text = python_strip(message.content, {}, Side::right);
      // llama2 cuts spaces off the end of the system text and the question together.
      const std::string gap = is_llama2 ? "\n<</SYS>>\n\n" : "\n\n";
      add(pieces, scaffold, 0, is_llama2 && text.empty() ? "\n<</SYS>>" : gap);
      add(pieces, content, i, is_llama2 ? text : message.content);
    } else {
      add(pieces, content, i, is_llama2 ? python_strip(message.content) : message.content);
    }
    add(pieces, scaffold, i, " [/INST]");
  }
  return pieces;
}

}  // namespace tessera
