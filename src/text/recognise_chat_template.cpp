#include <optional>

#include "base/error.h"
#include "text/chat_template.h"
#include "text/jinja_outline.h"

/// Which built-in template a Jinja text is.  Texts are compared in outline (jinja_outline.h), so that only what they do
/// counts.  The long ones, with tools, are known by the parts of them that a conversation without tools goes through.
namespace tessera {
namespace {

/// Takes `expected` off the front of `text`.
bool eat(std::string_view& text, std::string_view expected) {
  if (!text.starts_with(expected)) return false;
  text.remove_prefix(expected.size());
  return true;
}

/// Takes everything up to `expected`, and that too, off the front of `text`; returns what was before it.
std::optional<std::string_view> eat_until(std::string_view& text, std::string_view expected) {
  const size_t found = text.find(expected);
  if (found == std::string_view::npos) return std::nullopt;
  const std::string_view before = text.substr(0, found);
  text.remove_prefix(found + expected.size());
  return before;
}

/// The text between the outline's quotes, or nothing where it is more than one text.
std::optional<std::string> unquote(std::string_view quoted) {
  std::string text;
  for (size_t i = 0; i < quoted.size(); ++i) {
    if (quoted[i] == '"') return std::nullopt;
    if (quoted[i] == '\\' && ++i < quoted.size()) {
      text += quoted[i] == 'n' ? '\n' : quoted[i];
    } else {
      text += quoted[i];
    }
  }
  return text;
}

constexpr std::string_view chatml_prompt = R"({if add_generation_prompt}["<|im_start|>assistant\n"]{endif})";
constexpr std::string_view chatml_message = R"(["<|im_start|>"+message.role+"\n"+message.content+"<|im_end|>\n"])";
constexpr std::string_view chatml_system =
    R"({if messages[0].role=="system"}["<|im_start|>system\n"+messages[0].content+"<|im_end|>\n"])";

/// {for …}, perhaps a default system text, each message, {endfor}, perhaps the prompt.
struct Chatml {
  std::string default_system;
};
std::optional<Chatml> read_chatml(std::string_view outline) {
  Chatml result;
  eat(outline, "{if not add_generation_prompt is defined}{set add_generation_prompt=false}{endif}");
  if (!eat(outline, "{for message in messages}")) return std::nullopt;
  if (eat(outline, R"({if loop.first and messages[0].role!="system"}["<|im_start|>system\n)")) {
    const auto quoted = eat_until(outline, R"(<|im_end|>\n"]{endif})");
    const auto text = quoted ? unquote(*quoted) : std::nullopt;
    if (!text) return std::nullopt;
    result.default_system = *text;
  }
  if (!eat(outline, chatml_message) || !eat(outline, "{endfor}")) return std::nullopt;
  if (outline != chatml_prompt) return std::nullopt;
  return result;
}

/// Qwen 2.5: a default system text in front, tools, and every plain message as in chatml.
std::optional<Chatml> read_qwen2(std::string_view outline) {
  if (!eat(outline, "{if tools}") ||
      !eat_until(outline, "{else}" + std::string(chatml_system) + "{else}[\"<|im_start|>system\\n")) {
    return std::nullopt;
  }
  const auto quoted = eat_until(outline, R"(<|im_end|>\n"]{endif}{endif})");
  const auto text = quoted ? unquote(*quoted) : std::nullopt;
  const bool plain =
      text &&
      eat(outline,
          R"({for message in messages}{if(message.role=="user")or(message.role=="system" and not loop.first)or)"
          R"((message.role=="assistant" and not message.tool_calls)})") &&
      eat(outline, chatml_message) && outline.ends_with("{endfor}" + std::string(chatml_prompt));
  if (!plain) return std::nullopt;
  return Chatml{*text};
}

/// Qwen3: as Qwen 2.5 without a default system text; <think> before the answers to the last question.
bool is_qwen3(std::string_view outline) {
  const std::string_view steps[] = {
      R"({set ns=namespace(multi_step_tool=true,last_query_index=messages|length-1)}{for message in messages[::-1]})",
      R"({set index=(messages|length-1)-loop.index0}{if ns.multi_step_tool and message.role=="user")",
      // NOLINTNEXTLINE(bugprone-suspicious-missing-comma): a step over two lines
      R"({set ns.last_query_index=index}{endif}{endfor}{for message in messages})"
      R"({if(message.role=="user")or(message.role=="system" and not loop.first)})",
      chatml_message, R"({elif message.role=="assistant"}{set content=message.content}{set reasoning_content=""})",
      R"({if "</think>" in message.content}{set content=message.content.split("</think>")[-1].lstrip("\n")})"
      R"({set reasoning_content=message.content.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n")})",
      R"({if loop.index0>ns.last_query_index}{if loop.last or(not loop.last and reasoning_content)})"
      R"(["<|im_start|>"+message.role+"\n<think>\n"+reasoning_content.strip("\n")+"\n</think>\n\n"+content.lstrip("\n")])"
      R"({else}["<|im_start|>"+message.role+"\n"+content]{endif}{else}["<|im_start|>"+message.role+"\n"+content]{endif})"
      R"({if message.tool_calls})",
      R"({endfor}{endif}["<|im_end|>\n"]{elif message.role=="tool"})",
      R"({endfor}{if add_generation_prompt}["<|im_start|>assistant\n"]{if enable_thinking is defined and enable_thinking is false})"};
  if (!eat(outline, "{if tools}") || !eat_until(outline, "{else}" + std::string(chatml_system) + "{endif}{endif}"))
    return false;
  for (const std::string_view step : steps) {
    if (!eat_until(outline, step)) return false;
  }
  return true;
}

enum class Prompt { asked, always };
std::optional<Prompt> read_llama3(std::string_view outline) {
  eat(outline, "{if not add_generation_prompt is defined}{set add_generation_prompt=false}{endif}");
  if (!eat(outline, R"({set loop_messages=messages}{for message in loop_messages}{set content="<|start_header_id|>"+)"
                    R"(message.role+"<|end_header_id|>\n\n"+message.content|trim+"<|eot_id|>"})"
                    R"({if loop.index0==0}{set content=bos_token+content}{endif}[content]{endfor})")) {
    return std::nullopt;
  }
  constexpr std::string_view prompt = R"(["<|start_header_id|>assistant<|end_header_id|>\n\n"])";
  if (outline == "{if add_generation_prompt}" + std::string(prompt) + "{endif}") return Prompt::asked;
  if (outline == prompt) return Prompt::always;
  return std::nullopt;
}

/// {if the roles are out of turn}[raise_exception(…)]{endif}
bool eat_turns(std::string_view& outline) {
  return eat(outline, R"({if(message.role=="user")!=(loop.index0%2==0)}[raise_exception()") &&
         eat_until(outline, ")]{endif}");
}

bool is_llama2(std::string_view outline) {
  return eat(outline,
             R"({if messages[0].role=="system"}{set loop_messages=messages[1:]}{set system_message=messages[0].content})"
             R"({else}{set loop_messages=messages}{set system_message=false}{endif}{for message in loop_messages})") &&
         eat_turns(outline) &&
         eat(outline, R"({if loop.index0==0 and system_message!=false})"
                      R"({set content="<<SYS>>\n"+system_message+"\n<</SYS>>\n\n"+message.content})"
                      R"({else}{set content=message.content}{endif})"
                      R"({if message.role=="user"}[bos_token+"[INST] "+content.strip()+" [/INST]"])"
                      R"({elif message.role=="assistant"}[" "+content.strip()+" "+eos_token]{endif}{endfor})") &&
         outline.empty();
}

/// The spaces before an answer and behind its </s>, which differ between Mistral's models.
struct Mistral {
  std::string before_answer, after_turn;
};
std::optional<Mistral> read_mistral(std::string_view outline) {
  Mistral result;
  if (!eat(outline, "[bos_token]{for message in messages}") || !eat_turns(outline) ||
      !eat(outline,
           R"({if message.role=="user"}["[INST] "+message.content+" [/INST]"]{elif message.role=="assistant"}[)")) {
    return std::nullopt;
  }
  if (eat(outline, R"(" "+)")) result.before_answer = " ";
  if (!eat(outline, "message.content+eos_token")) return std::nullopt;
  if (eat(outline, R"(+" ")")) result.after_turn = " ";
  if (!eat(outline, "]")) return std::nullopt;
  if (eat(outline, "{else}[raise_exception(") && !eat_until(outline, ")]")) return std::nullopt;
  if (outline != "{endif}{endfor}") return std::nullopt;
  return result;
}

}  // namespace

ChatTemplate ChatTemplate::recognise(std::string_view jinja) {
  if (jinja.empty())
    throw JobError(
        "the tokenizer has no chat template; set chat_template to chatml, llama3, llama2 or mistral, if one fits the "
        "model");
  const std::string outline = jinja_outline(jinja);
  if (const auto chatml = read_chatml(outline)) {
    ChatTemplate result = by_name("chatml");
    result.default_system_ = chatml->default_system;
    return result;
  }
  const auto qwen2 = read_qwen2(outline);
  if (qwen2 || is_qwen3(outline)) {
    ChatTemplate result = by_name("chatml");
    result.plain_roles_ = true;
    result.thinks_ = !qwen2;
    if (qwen2) result.default_system_ = qwen2->default_system;
    return result;
  }
  if (const auto prompt = read_llama3(outline)) {
    ChatTemplate result = by_name("llama3");
    result.always_prompts_ = *prompt == Prompt::always;
    return result;
  }
  if (is_llama2(outline)) return by_name("llama2");
  if (const auto mistral = read_mistral(outline)) {
    ChatTemplate result = by_name("mistral");
    result.before_answer_ = mistral->before_answer;
    result.after_turn_ = mistral->after_turn;
    return result;
  }
  throw JobError(
      "the tokenizer's chat template is none of the built-in ones; set chat_template to chatml, llama3, llama2 or "
      "mistral, if one fits the model.  The template begins: {}",
      jinja.substr(0, 200));
}

}  // namespace tessera
