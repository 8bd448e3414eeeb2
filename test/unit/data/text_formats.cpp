// What completion, alpaca and input_output make of text.  A tokenizer of single bytes shows the whole of a sample.
#include <catch2/catch.hpp>

#include "base/error.h"
#include "byte_tokenizer.h"
#include "data/inspect.h"

using namespace tessera;
using namespace tessera::test;

namespace {

struct Case {
  TemporaryFolder folder;
  Tokenizer tokenizer = byte_tokenizer(folder);
  Job job;

  Case(DatasetType type, const std::string& text, const std::string& name = "a.jsonl") {
    job = job_with(folder, {dataset("d", folder.write(name, text), type)});
    job.data.sequence_len = 1000;
  }

  std::vector<std::string> texts() const {
    std::vector<std::string> texts;
    for (const StoredSample& sample : prepared_samples(job, "train", &tokenizer, byte_vocab_size))
      texts.push_back(spelled(sample));
    return texts;
  }
  std::string text() const { return texts().at(0); }
  std::string error() const {
    return error_of<DataError>([&] { texts(); });
  }
};

}  // namespace

TEST_CASE("completion is the text between BOS and EOS, with loss on all of it", "[completion]") {
  REQUIRE(Case(DatasetType::completion, R"({"text": "Once upon"})").text() == "[<s>Once upon</s>]");
}

TEST_CASE("completion reads another field", "[completion]") {
  Case one(DatasetType::completion, R"({"story": "Once"})");
  one.job.datasets[0].field = "story";
  REQUIRE(one.text() == "[<s>Once</s>]");
}

TEST_CASE("completion reads an array of texts", "[completion]") {
  REQUIRE(Case(DatasetType::completion, R"(["One", "Two"])", "a.json").texts() ==
          std::vector<std::string>{"[<s>One</s>]", "[<s>Two</s>]"});
}

TEST_CASE("A text file is one document", "[completion]") {
  REQUIRE(Case(DatasetType::completion, "One\n\nTwo\n", "a.txt").text() == "[<s>One\n\nTwo\n</s>]");
}

TEST_CASE("A text file that is not UTF-8 is an error", "[completion]") {
  REQUIRE_THAT(Case(DatasetType::completion, "caf\xe9", "a.txt").error(),
               Catch::Contains("a.txt:1: the text is not UTF-8"));
}

TEST_CASE("EOS is not put twice", "[completion]") {
  REQUIRE(Case(DatasetType::completion, R"({"text": "Once</s>"})").text() == "[<s>Once</s>]");
}

TEST_CASE("An empty text is left out", "[completion]") {
  REQUIRE(Case(DatasetType::completion, "{\"text\": \"\"}\n{\"text\": \"x\"}").texts() ==
          std::vector<std::string>{"[<s>x</s>]"});
}

TEST_CASE("alpaca without input has Stanford's shorter prompt, with loss on answer and EOS", "[alpaca]") {
  REQUIRE(Case(DatasetType::alpaca, R"({"instruction": "Greet.", "input": "", "output": "Hello!"})").text() ==
          "<s>Below is an instruction that describes a task. Write a response that appropriately completes the request."
          "\n\n### Instruction:\nGreet.\n\n### Response:\n[Hello!</s>]");
}

TEST_CASE("alpaca with input has Stanford's longer prompt", "[alpaca]") {
  REQUIRE(
      Case(DatasetType::alpaca, R"({"instruction": "Add.", "input": "1 and 2", "output": "3"})").text() ==
      "<s>Below is an instruction that describes a task, paired with an input that provides further context. Write a "
      "response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 and 2\n\n"
      "### Response:\n[3</s>]");
}

TEST_CASE("alpaca takes a missing or null input for none", "[alpaca]") {
  const std::string input = GENERATE("", R"("input": null, )");
  REQUIRE_THAT(Case(DatasetType::alpaca, "{\"instruction\": \"Greet.\", " + input + "\"output\": \"Hi\"}").text(),
               Catch::EndsWith("### Instruction:\nGreet.\n\n### Response:\n[Hi</s>]"));
}

TEST_CASE("alpaca puts a system text in place of the opening", "[alpaca]") {
  const std::string expected = "<s>### System:\nBe brief.\n\n### Instruction:\nGreet.\n\n### Response:\n[Hi</s>]";
  REQUIRE(Case(DatasetType::alpaca, R"({"system": "Be brief.", "instruction": "Greet.", "output": "Hi"})").text() ==
          expected);
  Case with_default(DatasetType::alpaca, R"({"instruction": "Greet.", "output": "Hi"})");
  with_default.job.datasets[0].system_prompt = "Be brief.";
  REQUIRE(with_default.text() == expected);
}

TEST_CASE("alpaca reads other fields", "[alpaca]") {
  Case one(DatasetType::alpaca, R"({"question": "Two?", "answer": "2"})");
  one.job.datasets[0].field_instruction = "question";
  one.job.datasets[0].field_output = "answer";
  REQUIRE_THAT(one.text(), Catch::EndsWith("### Instruction:\nTwo?\n\n### Response:\n[2</s>]"));
}

TEST_CASE("train_on_inputs puts loss on alpaca's prompt too", "[alpaca]") {
  Case one(DatasetType::alpaca, R"({"instruction": "Greet.", "output": "Hi"})");
  one.job.data.train_on_inputs = true;
  REQUIRE_THAT(one.text(), Catch::StartsWith("[<s>Below") && Catch::EndsWith("Response:\nHi</s>]"));
}

TEST_CASE("alpaca's missing key is an error that names the setting for it", "[alpaca]") {
  REQUIRE_THAT(Case(DatasetType::alpaca, R"({"question": "Two?", "answer": "2"})").error(),
               Catch::Contains("a.jsonl:1: the sample has no key \"instruction\"; its keys are question, answer; "
                               "use field_instruction to name another key"));
}

TEST_CASE("A number where a text is expected is an error that names the key", "[alpaca]") {
  REQUIRE_THAT(Case(DatasetType::alpaca, R"({"instruction": "Two?", "output": 2})").error(),
               Catch::Contains("a.jsonl:1: output is a number, expected a string"));
}

TEST_CASE("input_output is its segments and nothing else, with loss on those that have a label", "[input_output]") {
  REQUIRE(Case(DatasetType::input_output,
               R"({"segments": [{"label": false, "text": "<s>Q: "}, {"label": true, "text": "A</s>"},)"
               R"({"label": false, "text": " Q: "}, {"label": true, "text": "B</s>"}]})")
              .text() == "<s>Q: [A</s>] Q: [B</s>]");
}

TEST_CASE("A segment without its label is an error that names the segment", "[input_output]") {
  REQUIRE_THAT(
      Case(DatasetType::input_output, R"({"segments": [{"label": true, "text": "x"}, {"text": "y"}]})").error(),
      Catch::Contains("a.jsonl:1: segments[1] has no key \"label\"; its keys are text"));
}

TEST_CASE("A tokenizer with more tokens than the model is an error with file and line", "[completion]") {
  const Case one(DatasetType::completion, R"({"text": "x"})");
  REQUIRE_THAT(error_of<DataError>([&] { prepare(one.job, &one.tokenizer, 256); }),
               Catch::Contains("a.jsonl:1: token 256 at position 0"));
}

TEST_CASE("Another tokenizer makes another prepared file", "[reuse]") {
  Case one(DatasetType::completion, R"({"text": "x"})");
  prepare(one.job, &one.tokenizer, byte_vocab_size);
  const TemporaryFolder other;
  const Tokenizer with_template = byte_tokenizer(other, "{{ messages }}");
  REQUIRE_FALSE(prepare(one.job, &with_template, byte_vocab_size).reused);
}

TEST_CASE("inspect shows the tokens as text", "[inspect]") {
  const Case one(DatasetType::input_output,
                 R"({"segments": [{"label": false, "text": "a\n"}, {"label": true, "text": "b</s>"}]})");
  const PreparedSet set(prepare(one.job, &one.tokenizer, byte_vocab_size).path, "train");
  REQUIRE_THAT(describe_samples(set, &one.tokenizer, 1, false), Catch::EndsWith("\na|↵\n[b][</s>]\n\n"));
}
