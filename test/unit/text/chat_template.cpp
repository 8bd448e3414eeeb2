#include "text/chat_template.h"

#include <fstream>

#include "base/error.h"
#include "unit/text/golden.h"

using namespace tessera;
using Catch::Matchers::Contains;

namespace {

std::string joined(const std::vector<ChatPiece>& pieces) {
  std::string text;
  for (const auto& piece : pieces) text += piece.text;
  return text;
}

enum class Prompt { no, yes };
std::string render(const ChatTemplate& chat, const std::vector<Message>& messages, Prompt prompt = Prompt::no) {
  return joined(chat.render(messages, prompt == Prompt::yes));
}

const std::vector<Message> system_first = {
    {"system", "Be brief."}, {"user", " Hi "}, {"assistant", "Hello!\n"}, {"user", "Bye"}, {"assistant", "See you"}};
const std::vector<Message> no_system = {{"user", "Hi"}, {"assistant", "Hello!"}};

/// The templates of models, in the words of their tokenizer_config.json.
const std::string smollm2_template =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou "
    "are a "
    "helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + "
    "message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|im_start|>assistant\n' }}{% endif %}";
const std::string llama3_template =
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
    "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% "
    "set "
    "content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";
const std::string mistral_template =
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ "
    "raise_exception('Conversation roles must alternate') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' "
    "+ "
    "message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token + ' "
    "' "
    "}}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

}  // namespace

TEST_CASE("chatml writes each message between its marks") {
  CHECK(render(ChatTemplate::by_name("chatml"), system_first) ==
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi "
        "<|im_end|>\n<|im_start|>assistant\nHello!\n<|im_end|>\n"
        "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\nSee you<|im_end|>\n");
}

TEST_CASE("llama3 begins with its first token and trims contents") {
  CHECK(render(ChatTemplate::by_name("llama3"), system_first) ==
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user"
        "<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nSee "
        "you"
        "<|eot_id|>");
}

TEST_CASE("llama2 writes the system message into the first question") {
  CHECK(render(ChatTemplate::by_name("llama2"), system_first) ==
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n Hi [/INST] Hello! </s><s>[INST] Bye [/INST] See you </s>");
}

TEST_CASE("mistral writes one first token and keeps contents") {
  CHECK(render(ChatTemplate::by_name("mistral"), system_first) ==
        "<s>[INST] Be brief.\n\n Hi  [/INST]Hello!\n</s>[INST] Bye [/INST]See you</s>");
}

TEST_CASE("a generation prompt opens the assistant's turn") {
  CHECK_THAT(render(ChatTemplate::by_name("chatml"), no_system, Prompt::yes),
             Catch::Matchers::EndsWith("<|im_end|>\n<|im_start|>assistant\n"));
  CHECK_THAT(render(ChatTemplate::by_name("llama3"), no_system, Prompt::yes),
             Catch::Matchers::EndsWith("<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"));
}

TEST_CASE("the pieces of an assistant's turn are its scaffold, its content and its end") {
  const auto pieces = ChatTemplate::by_name("chatml").render(no_system, false);
  REQUIRE(pieces.size() == 8);
  CHECK(pieces[4].kind == ChatPiece::Kind::scaffold);
  CHECK(pieces[4].text == "<|im_start|>assistant\n");
  CHECK(pieces[5].kind == ChatPiece::Kind::content);
  CHECK(pieces[5].text == "Hello!");
  CHECK(pieces[6].kind == ChatPiece::Kind::end_of_turn);
  CHECK(pieces[6].text == "<|im_end|>");
  for (int i = 4; i < 8; ++i) CHECK(pieces[i].message == 1);
}

TEST_CASE("the end of an answer is the template's end of turn") {
  const auto name = GENERATE(as<std::string>(), "chatml", "llama3", "llama2", "mistral");
  const ChatTemplate chat = ChatTemplate::by_name(name);
  int ends = 0;
  for (const auto& piece : chat.render(no_system, false)) {
    if (piece.kind == ChatPiece::Kind::end_of_turn && piece.message == 1) {
      CHECK(piece.text == chat.end_of_turn());
      ++ends;
    }
  }
  CHECK(ends == 1);
}

TEST_CASE("an unknown template is a JobError that names the nearest") {
  CHECK_THROWS_AS(ChatTemplate::by_name("lama3"), JobError);
  CHECK_THROWS_WITH(ChatTemplate::by_name("lama3"), Contains("did you mean llama3"));
}

TEST_CASE("llama2 and mistral refuse roles that do not alternate") {
  const auto name = GENERATE(as<std::string>(), "llama2", "mistral");
  const ChatTemplate chat = ChatTemplate::by_name(name);
  CHECK_THROWS_AS(chat.render({{"user", "a"}, {"user", "b"}}, false), DataError);
  CHECK_THROWS_AS(chat.render({{"assistant", "a"}}, false), DataError);
  CHECK_THROWS_AS(chat.render({{"user", "a"}, {"system", "b"}}, false), DataError);
}

TEST_CASE("SmolLM2's template is chatml with a system text of its own") {
  const ChatTemplate chat = ChatTemplate::recognise(smollm2_template);
  CHECK(chat.name() == "chatml");
  CHECK(render(chat, no_system) ==
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n");
  CHECK(render(chat, system_first) == render(ChatTemplate::by_name("chatml"), system_first));
}

TEST_CASE("a template's own system text is taken from it") {
  const ChatTemplate chat = ChatTemplate::recognise(replaced(
      smollm2_template, "You are a helpful AI assistant named SmolLM, trained by Hugging Face", "Say \\'yes\\'."));
  CHECK_THAT(render(chat, no_system), Catch::Matchers::StartsWith("<|im_start|>system\nSay 'yes'.<|im_end|>\n"));
}

TEST_CASE("spaces, quotes, comments and line breaks make no other template") {
  const ChatTemplate chat = ChatTemplate::recognise(R"({%- for message in messages %}
    {#- one turn #}
    {{- "<|im_start|>" ~ message.role ~ "\n" }}
    {{- message.content + "<|im_end|>\n" }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
)");
  CHECK(render(chat, no_system, Prompt::yes) == render(ChatTemplate::by_name("chatml"), no_system, Prompt::yes));
}

TEST_CASE("text outside of tags is a template's text") {
  const ChatTemplate chat = ChatTemplate::recognise(R"({% for message in messages %}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}
)");
  CHECK(render(chat, system_first) == render(ChatTemplate::by_name("chatml"), system_first));
}

TEST_CASE("A tokenizer without a template is an error that says so") {
  CHECK_THROWS_WITH(ChatTemplate::recognise(""), Catch::Contains("has no chat template"));
}

TEST_CASE("Llama 3's template is llama3") {
  CHECK(render(ChatTemplate::recognise(llama3_template), system_first) ==
        render(ChatTemplate::by_name("llama3"), system_first));
}

TEST_CASE("Llama 3's first template always opens another turn") {
  std::string jinja = replaced(llama3_template, "{% if add_generation_prompt %}", "");
  jinja.erase(jinja.rfind("{% endif %}"));
  CHECK(render(ChatTemplate::recognise(jinja), no_system) ==
        render(ChatTemplate::by_name("llama3"), no_system, Prompt::yes));
}

TEST_CASE("the spaces of Mistral's template are kept") {
  CHECK(render(ChatTemplate::recognise(mistral_template), no_system) == "<s>[INST] Hi [/INST]Hello!</s> ");
  const std::string spaced = replaced(mistral_template, "{{ message['content'] + eos_token + ' ' }}",
                                      "{{ ' ' + message['content'] + eos_token }}");
  CHECK(render(ChatTemplate::recognise(spaced), no_system) == "<s>[INST] Hi [/INST] Hello!</s>");
}

TEST_CASE("an unknown template is a JobError that asks for a name") {
  const std::string jinja =
      GENERATE_COPY(std::string(), replaced(smollm2_template, "message['content'] +", "message['content'] | trim +"),
                    "{{ bos_token }}" + smollm2_template, "{% set date = '26 Jul 2024' %}" + llama3_template,
                    replaced(llama3_template, "| trim", ""), mistral_template + "{{ eos_token }}",
                    replaced(smollm2_template, "{% if add_generation_prompt %}", "{% if true %}"));
  CHECK_THROWS_AS(ChatTemplate::recognise(jinja), JobError);
  CHECK_THROWS_WITH(ChatTemplate::recognise(jinja), Contains("chat_template"));
}

namespace {

/// The chat template of a tokenizer beside the project; empty, with a message, where it is not there.
std::string shared_template(const std::string& directory) {
  std::ifstream in(TESSERA_SHARED "/tokenizers/" + directory + "/tokenizer_config.json");
  if (in) return nlohmann::json::parse(in)["chat_template"];
  WARN("skipped: the tokenizer " << directory << " is not there");
  return {};
}

}  // namespace

TEST_CASE("SmolLM2's and Llama 3's own files are recognised") {
  const auto [directory, name] =
      GENERATE(table<std::string, std::string>({{"hf-smollm2", "chatml"}, {"hf-llama3", "llama3"}}));
  const std::string jinja = shared_template(directory);
  if (!jinja.empty()) CHECK(ChatTemplate::recognise(jinja).name() == name);
}

TEST_CASE("Qwen3's template thinks before the last answer and drops earlier thoughts") {
  const std::string jinja = shared_template("hf-qwen3");
  if (jinja.empty()) return;
  const ChatTemplate chat = ChatTemplate::recognise(jinja);
  CHECK(
      render(chat,
             {{"user", "1+1?"}, {"assistant", "<think>\neasy\n</think>\n\n2"}, {"user", "2+2?"}, {"assistant", "4"}}) ==
      "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n"
      "<|im_start|>assistant\n<think>\n\n</think>\n\n4<|im_end|>\n");
  CHECK(render(chat, {{"user", "1+1?"}, {"assistant", "<think>\neasy\n</think>\n\n2"}}, Prompt::yes) ==
        "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n<think>\neasy\n</think>\n\n2<|im_end|>\n"
        "<|im_start|>assistant\n");
}

TEST_CASE("Qwen3's template refuses unsupported roles") {
  const std::string jinja = shared_template("hf-qwen3");
  if (jinja.empty()) return;
  CHECK_THROWS_AS(ChatTemplate::recognise(jinja).render({{"tool", "4"}}, false), DataError);
}
