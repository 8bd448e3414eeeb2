// What type = chat_template makes of conversations.
#include <catch2/catch.hpp>

#include "base/error.h"
#include "byte_tokenizer.h"

using namespace tessera;
using namespace tessera::test;

namespace {

struct Chat {
  TemporaryFolder folder;
  Tokenizer tokenizer = byte_tokenizer(folder);
  Job job;

  explicit Chat(const std::string& text) {
    job = job_with(folder, {dataset("d", folder.write("a.jsonl", text), "chat_template")});
    job.datasets[0].chat_template = "chatml";
    job.data.sequence_len = 1000;
  }
  DatasetSettings& settings() { return job.datasets[0]; }

  std::string text() const { return spelled(prepared_samples(job, "train", &tokenizer, byte_vocab_size).at(0)); }
  std::string error() const {
    return error_of<DataError>([&] { text(); });
  }
};

const std::string hello =
    R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]})";
const std::string hello_chatml = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n[Yes?<|im_end|>]\n";

}  // namespace

TEST_CASE("The assistant's words and their end carry loss", "[chat]") { REQUIRE(Chat(hello).text() == hello_chatml); }

TEST_CASE("ShareGPT's names are understood without a setting", "[chat]") {
  REQUIRE(Chat(R"({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes?"}]})").text() ==
          hello_chatml);
}

TEST_CASE("Other keys are read where the job names them", "[chat]") {
  Chat chat(R"({"talk": [{"who": "user", "says": "Hi"}, {"who": "assistant", "says": "Yes?"}]})");
  chat.settings().field_messages = "talk";
  chat.settings().message_field_role = "who";
  chat.settings().message_field_content = "says";
  REQUIRE(chat.text() == hello_chatml);
}

TEST_CASE("system_prompt comes first if a conversation has no system message", "[chat]") {
  Chat chat(hello);
  chat.settings().system_prompt = "Be brief.";
  REQUIRE(chat.text() == "<|im_start|>system\nBe brief.<|im_end|>\n" + hello_chatml);
}

TEST_CASE("system_prompt does not replace a conversation's own", "[chat]") {
  Chat chat(R"({"messages": [{"role": "system", "content": "Own."}, {"role": "user", "content": "Hi"},)"
            R"({"role": "assistant", "content": "Yes?"}]})");
  chat.settings().system_prompt = "Be brief.";
  REQUIRE(chat.text() == "<|im_start|>system\nOwn.<|im_end|>\n" + hello_chatml);
}

TEST_CASE("roles_to_train chooses whose words carry loss", "[chat]") {
  Chat chat(hello);
  chat.settings().roles_to_train = {"human"};
  REQUIRE(chat.text() == "<|im_start|>user\n[Hi<|im_end|>]\n<|im_start|>assistant\nYes?<|im_end|>\n");
}

TEST_CASE("train_on_inputs puts loss on every message", "[chat]") {
  Chat chat(hello);
  chat.job.data.train_on_inputs = true;
  REQUIRE(chat.text() == "<|im_start|>user\n[Hi<|im_end|>]\n<|im_start|>assistant\n[Yes?<|im_end|>]\n");
}

TEST_CASE("train_on_eos = none leaves the end of the turn out", "[chat]") {
  Chat chat(hello);
  chat.settings().train_on_eos = TrainOnEos::none;
  REQUIRE(chat.text() == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n[Yes?]<|im_end|>\n");
}

TEST_CASE("Llama 2 writes BOS once a turn and ends answers with EOS", "[chat]") {
  Chat chat(hello);
  chat.settings().chat_template = "llama2";
  REQUIRE_THAT(chat.text(),
               Catch::StartsWith("<s>[INST] Hi [/INST]") && Catch::Contains("[Yes?") && Catch::Contains("</s>]"));
}

TEST_CASE("The template is recognised from the tokenizer where none is named", "[chat]") {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = byte_tokenizer(
      folder,
      R"({% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %})");
  Chat chat(hello);
  chat.settings().chat_template = "tokenizer_default";
  REQUIRE(spelled(prepared_samples(chat.job, "train", &tokenizer, byte_vocab_size).at(0)) == hello_chatml);
}

TEST_CASE("An unknown role is an error that names message and role", "[chat]") {
  const Chat chat(R"({"conversations": [{"from": "human", "value": "Hi"}, {"from": "function_call", "value": "{}"}]})");
  REQUIRE_THAT(chat.error(), Catch::Contains("a.jsonl:1: conversations[1].from is \"function_call\""));
}

TEST_CASE("A conversation that the template cannot write is an error with file and line", "[chat]") {
  Chat chat(R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": "Ho"}]})");
  chat.settings().chat_template = "llama2";
  REQUIRE_THAT(chat.error(), Catch::Contains("a.jsonl:1: "));
}

TEST_CASE("A conversation without a message is an error", "[chat]") {
  REQUIRE_THAT(Chat(R"({"messages": []})").error(), Catch::Contains("a.jsonl:1: messages is empty"));
}

TEST_CASE("An unknown role in roles_to_train is a JobError", "[chat]") {
  Chat chat(hello);
  chat.settings().roles_to_train = {"robot"};
  REQUIRE_THROWS_AS(chat.text(), JobError);
}

TEST_CASE("A message's training flag overrides its role", "[chat]") {
  REQUIRE(Chat(R"({"messages": [{"role": "user", "content": "Hi", "training": true},)"
               R"({"role": "assistant", "content": "No.", "training": false},)"
               R"({"role": "user", "content": "Hi", "training": null}, {"role": "assistant", "content": "Yes?"}]})")
              .text() ==
          "<|im_start|>user\n[Hi<|im_end|>]\n<|im_start|>assistant\nNo.<|im_end|>\n"
          "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n[Yes?<|im_end|>]\n");
}

TEST_CASE("A message's training counts for train_on_inputs and for an inserted system message too", "[chat]") {
  Chat chat(R"({"messages": [{"role": "user", "content": "Hi", "training": false},)"
            R"({"role": "assistant", "content": "Yes?"}]})");
  chat.job.data.train_on_inputs = true;
  chat.settings().system_prompt = "Be brief.";
  REQUIRE(chat.text() ==
          "<|im_start|>system\n[Be brief.<|im_end|>]\n<|im_start|>user\nHi<|im_end|>\n"
          "<|im_start|>assistant\n[Yes?<|im_end|>]\n");
}

TEST_CASE("message_field_training names another key", "[chat]") {
  Chat chat(R"({"messages": [{"role": "user", "content": "Hi", "learn": true, "training": "no"},)"
            R"({"role": "assistant", "content": "Yes?", "learn": false}]})");
  chat.settings().message_field_training = "learn";
  REQUIRE(chat.text() == "<|im_start|>user\n[Hi<|im_end|>]\n<|im_start|>assistant\nYes?<|im_end|>\n");
}

TEST_CASE("A weight of 0 takes a message out, one of 1 leaves it to its role", "[chat]") {
  REQUIRE(Chat(R"({"messages": [{"role": "user", "content": "Hi", "weight": 1},)"
               R"({"role": "assistant", "content": "No.", "weight": 0}, {"role": "user", "content": "Hi"},)"
               R"({"role": "assistant", "content": "Yes?", "weight": 1.0}]})")
              .text() ==
          "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nNo.<|im_end|>\n"
          "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n[Yes?<|im_end|>]\n");
}

TEST_CASE("Invalid training or weight of a message is an error with file, line and key", "[chat]") {
  const auto error = [](const std::string& keys) {
    return Chat(R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?", )" + keys +
                "}]}")
        .error();
  };
  CHECK_THAT(error(R"("weight": 0.5)"), Catch::Contains("a.jsonl:1: messages[1].weight is 0.5, expected 0"));
  CHECK_THAT(error(R"("weight": "1")"), Catch::Contains("messages[1].weight is \"1\""));
  CHECK_THAT(error(R"("training": 1)"), Catch::Contains("a.jsonl:1: messages[1].training is a number, expected true"));
  CHECK_THAT(error(R"("training": true, "weight": 0)"), Catch::Contains("messages[1].weight is 0; remove one"));
}

TEST_CASE("Tools, tool calls and reasoning apart from the content are refused, not left out", "[chat]") {
  const std::string talk = R"("messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?")";
  const auto error = [&](const std::string& in_sample, const std::string& in_message) {
    return Chat("{" + in_sample + talk + in_message + "}]}").error();
  };
  CHECK_THAT(error(R"("tools": [{"type": "function"}], )", ""), Catch::Contains("a.jsonl:1: tools is not supported"));
  CHECK_THAT(error(R"("functions": [{"name": "f"}], )", ""), Catch::Contains("a.jsonl:1: functions is not supported"));
  CHECK_THAT(error("", R"(, "tool_calls": [{"id": "1"}])"),
             Catch::Contains("a.jsonl:1: messages[1].tool_calls is not supported"));
  CHECK_THAT(error("", R"(, "function_call": {"name": "f"})"),
             Catch::Contains("messages[1].function_call is not supported"));
  CHECK_THAT(error("", R"(, "reasoning_content": "Hm.")"),
             Catch::Contains("messages[1].reasoning_content is not supported"));
}

TEST_CASE("Tools and tool calls that hold nothing do not matter", "[chat]") {
  REQUIRE(
      Chat(
          R"({"tools": [], "functions": "[]", "messages": [{"role": "user", "content": "Hi", "tool_calls": null},)"
          R"({"role": "assistant", "content": "Yes?", "tool_calls": [], "function_call": {}, "reasoning_content": ""}]})")
          .text() == hello_chatml);
}
