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
    job = job_with(folder, {dataset("d", folder.write("a.jsonl", text), DatasetType::chat_template)});
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

TEST_CASE("system_prompt stands first where a conversation has no system message", "[chat]") {
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
  chat.settings().chat_template = "";
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

TEST_CASE("A role to train that is none is a mistake of the job", "[chat]") {
  Chat chat(hello);
  chat.settings().roles_to_train = {"robot"};
  REQUIRE_THROWS_AS(chat.text(), JobError);
}
