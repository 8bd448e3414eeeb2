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

  Case(std::string_view type, const std::string& text, const std::string& name = "a.jsonl") {
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
  REQUIRE(Case("completion", R"({"text": "Once upon"})").text() == "[<s>Once upon</s>]");
}

TEST_CASE("completion reads another field", "[completion]") {
  Case one("completion", R"({"story": "Once"})");
  one.job.datasets[0].field = "story";
  REQUIRE(one.text() == "[<s>Once</s>]");
}

TEST_CASE("completion reads an array of texts", "[completion]") {
  REQUIRE(Case("completion", R"(["One", "Two"])", "a.json").texts() ==
          std::vector<std::string>{"[<s>One</s>]", "[<s>Two</s>]"});
}

TEST_CASE("A line of a text file is a document, or the whole file is one", "[completion]") {
  Case lines("completion", "One\r\n\n Two\nThree", "a.txt");
  CHECK(lines.texts() == std::vector<std::string>{"[<s>One</s>]", "[<s> Two</s>]", "[<s>Three</s>]"});
  Case whole("completion", "One\n\nTwo\n", "a.txt");
  whole.job.datasets[0].document = TextUnit::file;
  CHECK(whole.text() == "[<s>One\n\nTwo\n</s>]");
}

TEST_CASE("completion is cut where other types are left out, unless the job says otherwise", "[completion]") {
  const auto texts = [](const char* type, const char* record, std::optional<Overlong> own, Overlong of_all) {
    Case one(type, record);
    one.job.data.sequence_len = 4;
    one.job.data.overlong = of_all;
    one.job.datasets[0].overlong = own;
    return one.texts();
  };
  const auto completion = [&](std::optional<Overlong> own, Overlong of_all = Overlong::by_type) {
    return texts("completion", "{\"text\": \"abcdef\"}\n{\"text\": \"x\"}", own, of_all);
  };
  using Texts = std::vector<std::string>;
  CHECK(completion({}) == Texts{"[<s>abc]", "[def</s>]", "[<s>x</s>]"});
  CHECK(completion(Overlong::drop) == Texts{"[<s>x</s>]"});
  CHECK(completion({}, Overlong::truncate) == Texts{"[<s>abc]", "[<s>x</s>]"});
  CHECK(completion(Overlong::split, Overlong::drop).size() == 3);
  const char* tokens = "{\"input_ids\": [1, 2, 3, 4, 5]}\n{\"input_ids\": [1, 2]}";
  CHECK(texts("tokenized", tokens, {}, Overlong::by_type).size() == 1);
  CHECK(texts("tokenized", tokens, Overlong::split, Overlong::by_type).size() == 3);
}

TEST_CASE("Tables are records by the names in their first row", "[tables]") {
  const std::string csv =
      "instruction,input,output\r\nGreet.,,Hi\n\n\"Say \"\"a, b\"\"\",\"x\ny\",\"a,\n\"\"b\"\"\"\r\n";
  const Case of_commas("alpaca_instruct.load_no_prompt", csv, "a.csv");
  const std::vector<std::string> expected = {
      "<s>### Instruction:\nGreet.\n\n### Response:\n[Hi</s>]",
      "<s>### Instruction:\nSay \"a, b\"\n\n### Input:\nx\ny\n\n### Response:\n[a,\n\"b\"</s>]"};
  CHECK(of_commas.texts() == expected);
  CHECK(Case("completion", "\xEF\xBB\xBFtext\tother\nOne, two\t3\n\"\\\t\"\t4", "a.tsv").texts() ==
        std::vector<std::string>{"[<s>One, two</s>]", "[<s>\\\t</s>]"});
}

TEST_CASE("A table with a broken row is an error that names the row", "[tables]") {
  CHECK_THAT(Case("completion", "text,other\na,1\nb\n", "a.csv").error(),
             Catch::Contains("a.csv:3: the row has 1 field, the first row 2") && Catch::Contains("on_error = skip"));
  Case skipping("completion", "text,other\nb\na,1\nc,2,3\n", "a.csv");
  skipping.job.data.on_error = OnError::skip;
  CHECK(skipping.texts() == std::vector<std::string>{"[<s>a</s>]"});
  CHECK_THAT(Case("completion", "text\n\"a\nb\n", "a.csv").error(), Catch::Contains("a.csv:2: a quotation mark"));
  CHECK_THAT(Case("completion", "text,text\na,b\n", "a.csv").error(),
             Catch::Contains("two columns are called \"text\""));
  CHECK_THAT(Case("completion", "story\na\n", "a.csv").error(), Catch::Contains("no key \"text\"; its keys are story"));
  CHECK_THAT(Case("completion", "text\ncaf\xe9\n", "a.csv").error(), Catch::Contains("a.csv:2"));
}

TEST_CASE("A text file that is not UTF-8 is an error", "[completion]") {
  REQUIRE_THAT(Case("completion", "caf\xe9", "a.txt").error(), Catch::Contains("a.txt:1: the text is not UTF-8"));
}

TEST_CASE("EOS is not put twice", "[completion]") {
  REQUIRE(Case("completion", R"({"text": "Once</s>"})").text() == "[<s>Once</s>]");
}

TEST_CASE("An empty text is left out", "[completion]") {
  REQUIRE(Case("completion", "{\"text\": \"\"}\n{\"text\": \"x\"}").texts() == std::vector<std::string>{"[<s>x</s>]"});
}

TEST_CASE("alpaca without input has Stanford's shorter prompt, with loss on answer and EOS", "[alpaca]") {
  REQUIRE(Case("alpaca", R"({"instruction": "Greet.", "input": "", "output": "Hello!"})").text() ==
          "<s>Below is an instruction that describes a task. Write a response that appropriately completes the request."
          "\n\n### Instruction:\nGreet.\n\n### Response:\n[Hello!</s>]");
}

TEST_CASE("alpaca with input has Stanford's longer prompt", "[alpaca]") {
  REQUIRE(
      Case("alpaca", R"({"instruction": "Add.", "input": "1 and 2", "output": "3"})").text() ==
      "<s>Below is an instruction that describes a task, paired with an input that provides further context. Write a "
      "response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 and 2\n\n"
      "### Response:\n[3</s>]");
}

TEST_CASE("alpaca takes a missing or null input for none", "[alpaca]") {
  const std::string input = GENERATE("", R"("input": null, )");
  REQUIRE_THAT(Case("alpaca", "{\"instruction\": \"Greet.\", " + input + "\"output\": \"Hi\"}").text(),
               Catch::EndsWith("### Instruction:\nGreet.\n\n### Response:\n[Hi</s>]"));
}

TEST_CASE("alpaca takes no notice of a system text", "[alpaca]") {
  REQUIRE(Case("alpaca", R"({"system": "Be brief.", "instruction": "Greet.", "output": "Hi"})").text() ==
          Case("alpaca", R"({"instruction": "Greet.", "output": "Hi"})").text());
}

// Expected texts: axolotl's prompt strategies (commit 067b021c8) of these records.
TEST_CASE("Types of an instruction and an answer write what axolotl writes", "[instruction]") {
  struct Row {
    const char *type, *record, *text;
  };
  const auto [type, record, text] = GENERATE(
      Row{"alpaca:chat", R"({"instruction": "Add.", "input": "1, 2", "output": "3"})",
          "<s>SYSTEM: Below is an instruction that describes a task, paired with an input that provides further "
          "context. "
          "Write a response that appropriately completes the request.\nUSER: Add.\n1, 2\nASSISTANT:[3</s>]"},
      Row{"alpaca:chatml", R"({"instruction": "Greet.", "output": "Hi"})",
          "<s><|im_start|>system\nBelow is an instruction that describes a task. Write a response that appropriately "
          "completes the request.<|im_end|>\n<|im_start|>user\nGreet.<|im_end|>\n<|im_start|>assistant\n[Hi</s>]"},
      Row{"alpaca:phi", R"({"instruction": "Add.", "input": "1", "output": "3"})",
          "<s><|system|>\nBelow is an instruction that describes a task, paired with an input that provides further "
          "context. Write a response that appropriately completes the "
          "request.<|end|>\n<|user|>\nAdd.<|end|>1<|assistant|>"
          "[3</s>]"},
      Row{"alpaca_chat.load_qa", R"({"question": "Two?", "answer": "2"})",
          "<s>SYSTEM: Below is an instruction from a USER that describes a task. The ASSISTANT writes a response that "
          "appropriately and concisely completes the request.\n\n\nUSER: Two?\nASSISTANT:[2</s>]"},
      Row{"alpaca_chat.load_camel_ai", R"({"message_1": "Two?", "message_2": "2"})",
          "<s>SYSTEM: Below is an instruction from a USER that describes a task. The ASSISTANT writes a response that "
          "appropriately and concisely completes the request.\n\n\nUSER: Two?\nASSISTANT:[2</s>]"},
      Row{"alpaca_chat.load_no_prompt", R"({"instruction": "Greet.", "output": "Hi"})",
          "<s>USER: Greet.\nASSISTANT:[Hi</s>]"},
      Row{"alpaca_instruct.load_no_prompt", R"({"instruction": "Greet.", "output": "Hi"})",
          "<s>### Instruction:\nGreet.\n\n### Response:\n[Hi</s>]"},
      Row{"alpaca_w_system.load_instruct", R"({"system": "You are brief.", "instruction": "Greet.", "output": "Hi"})",
          "<s>You are brief.\n\n### Instruction:\nGreet.\n\n### Response:\n[Hi</s>]"},
      Row{"alpaca_w_system.load_instruct", R"({"system": "", "instruction": "Greet.", "output": "Hi"})",
          "<s>### Instruction:\nGreet.\n\n### Response:\n[Hi</s>]"},
      Row{"alpaca_w_system", R"({"system": "You are brief.", "instruction": "Add.", "input": "1", "output": "3"})",
          "<s>SYSTEM: You are brief.\nUSER: Add.\n1\nASSISTANT:[3</s>]"},
      Row{"alpaca_w_system.load_open_orca", R"({"system_prompt": "Be brief.", "question": "Two?", "response": "2"})",
          "<s>### System:\nBe brief.\n### Human:\nTwo?\n### Assistant:\n[2</s>]"},
      Row{"alpaca_w_system.load_open_orca_chatml", R"({"system_prompt": "", "question": "Two?", "response": "2"})",
          "<s><|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n[2</s>]"},
      Row{"orcamini", R"({"system_prompt": "Be brief.", "question": "Two?", "response": "2"})",
          "<s>### System:\nBe brief.\n\n### User:\nTwo?\n\n### Response:\n[2</s>]"},
      Row{"context_qa", R"({"article": "It rains.", "question": "Weather?", "answer": "Rain"})",
          "<s>SYSTEM: Use the following contextual information to concisely answer the question.\n\nUSER: It "
          "rains.\n===\n"
          "Weather?\nASSISTANT:[Rain</s>]"},
      Row{"context_qa.load_404", R"({"article": "It rains.", "unanswerable_question": "Who?"})",
          "<s>SYSTEM: Use the following contextual information to concisely answer the question.\n\nUSER: It "
          "rains.\n===\n"
          "Who?\nASSISTANT:[The context provided does not contain any information about your inquiry. Therefore, I'm "
          "unable to answer your question based on the given context.</s>]"},
      Row{"context_qa.load_v2", R"({"context": "It rains.", "question": "Weather?", "answer": "Rain"})",
          "<s>Context: It rains.\nQuestion: Weather?\n[Answer: Rain</s>]"},
      Row{"creative_acr.load_answer", R"({"instruction": "Why?", "revision": "So."})",
          "<s>Answer the following question in a comprehensive, in-depth, and creative way. Additionally your response "
          "should be relevant, accurate, and free of any ambiguity.\nUSER: Why?\nASSISTANT:[So.</s>]"},
      Row{"explainchoice", R"({"question": "Which?", "choices": ["a", "b"], "explanation": "b, because"})",
          "<s>Choose the answer that best answers the question. Explain your reasoning.\n\n\n### "
          "Instruction:\nWhich?\n\n"
          "### Input:\n- \"a\"\n- \"b\"\n\n### Response:\n[b, because</s>]"},
      Row{"concisechoice", R"({"question": "Which?", "choices": ["a"], "solution": "a", "explanation": "x"})",
          "<s>Choose the answer that best answers the question. Be concise in your response.\n\nUSER: Which?\n- \"a\"\n"
          "ASSISTANT:[a</s>]"},
      Row{"gpteacher:chat", R"({"instruction": "Add.", "input": "", "response": "3"})",
          "<s>SYSTEM: Below is an instruction that describes a task. Write a response that appropriately completes the "
          "request.\nUSER: Add.\nASSISTANT:[3</s>]"},
      Row{"jeopardy", R"({"question": "It falls.", "category": "Weather", "answer": "rain"})",
          "<s>Below is an instruction that describes a task, paired with an input that provides further context. Write "
          "a "
          "response that appropriately completes the request.\n\n### Instruction:\nIt falls.\n\n### Input:\nWeather\n\n"
          "### Response:\n[what is rain</s>]"},
      Row{"oasst", R"({"INSTRUCTION": "Greet.", "RESPONSE": "Hi"})",
          "<s>Below is an instruction that describes a task. Write a response that appropriately completes the request."
          "\n\n### Instruction:\nGreet.\n\n### Response:\n[Hi</s>]"},
      Row{"metharme", R"({"prompt": "Once", "generation": " upon"})", "<s>Once[ upon</s></s></s>]"},
      Row{"summarizetldr", R"({"article": "Long.", "summary": "L."})",
          "<s>USER: Summarize the following article as a TL;DR.\nLong.\nASSISTANT:[L.</s>]"});
  INFO(type);
  CHECK(Case(type, record).text() == text);
}

TEST_CASE("A reflection's answer has its three parts, or none", "[instruction]") {
  const std::string whole =
      Case("reflection", R"({"instruction": "Add.", "output": "4", "reflection": "No.", "corrected": "3"})").text();
  CHECK_THAT(whole,
             Catch::EndsWith("### Instruction:\nAdd.\n\n### Response:\n[### Thought:\n4\n\n### Agent Reflection:\n"
                             "No.\n\n### Final Response:\n3</s>]"));
  CHECK_THAT(Case("reflection", R"({"instruction": "Add.", "output": "4", "reflection": "", "corrected": "3"}
{"instruction": "Add.", "output": "4", "reflection": "No.", "corrected": "3"})")
                 .text(),
             Catch::EndsWith("### Instruction:\nAdd.\n\n### Response:\n[</s>]"));
}

TEST_CASE("user_defined has formats of the job's own", "[instruction]") {
  Case one("user_defined", R"({"q": "Two?", "a": "2", "hint": "1 + 1", "rule": "Brief."})");
  DatasetSettings& d = one.job.datasets[0];
  CHECK_THAT(one.error(), Catch::Contains("no key \"instruction\"") && Catch::Contains("field_instruction"));
  d.field_instruction = "q", d.field_output = "a";
  CHECK(one.text() == "<s>Two? [2</s>]");
  d.field_input = "hint";
  CHECK(one.text() == "<s>Two? 1 + 1 [2</s>]");
  d.field_system = "rule";
  d.system_format = "<{system}>";
  d.format = "{{{instruction}|{input}}}";
  CHECK(one.text() == "<s><Brief.>{Two?|1 + 1}[2</s>]");
  d.field_system = "none";
  CHECK(one.text() == "<s>{Two?|1 + 1}[2</s>]");
  d.system_prompt = "Short.";
  CHECK(one.text() == "<s><Short.>{Two?|1 + 1}[2</s>]");
  d.format = "{question}";
  CHECK_THAT(error_of<JobError>([&] { one.texts(); }),
             Catch::Contains("[dataset.d] format: {question} is not replaced"));
  d.format = "{instruction";
  CHECK_THAT(error_of<JobError>([&] { one.texts(); }), Catch::Contains("without its partner"));
}

TEST_CASE("alpaca reads other fields", "[alpaca]") {
  Case one("alpaca", R"({"question": "Two?", "answer": "2"})");
  one.job.datasets[0].field_instruction = "question";
  one.job.datasets[0].field_output = "answer";
  REQUIRE_THAT(one.text(), Catch::EndsWith("### Instruction:\nTwo?\n\n### Response:\n[2</s>]"));
}

TEST_CASE("train_on_inputs puts loss on alpaca's prompt too", "[alpaca]") {
  Case one("alpaca", R"({"instruction": "Greet.", "output": "Hi"})");
  one.job.data.train_on_inputs = true;
  REQUIRE_THAT(one.text(), Catch::StartsWith("[<s>Below") && Catch::EndsWith("Response:\nHi</s>]"));
}

TEST_CASE("alpaca's missing key is an error that names the setting for it", "[alpaca]") {
  REQUIRE_THAT(Case("alpaca", R"({"question": "Two?", "answer": "2"})").error(),
               Catch::Contains("a.jsonl:1: the sample has no key \"instruction\"; its keys are question, answer; "
                               "use field_instruction to name another key"));
}

TEST_CASE("A number where a text is expected is an error that names the key", "[alpaca]") {
  REQUIRE_THAT(Case("alpaca", R"({"instruction": "Two?", "output": 2})").error(),
               Catch::Contains("a.jsonl:1: output is a number, expected a string"));
}

TEST_CASE("input_output is its segments and nothing else, with loss on those that have a label", "[input_output]") {
  REQUIRE(Case("input_output", R"({"segments": [{"label": false, "text": "<s>Q: "}, {"label": true, "text": "A</s>"},)"
                               R"({"label": false, "text": " Q: "}, {"label": true, "text": "B</s>"}]})")
              .text() == "<s>Q: [A</s>] Q: [B</s>]");
}

TEST_CASE("A segment without its label is an error that names the segment", "[input_output]") {
  REQUIRE_THAT(Case("input_output", R"({"segments": [{"label": true, "text": "x"}, {"text": "y"}]})").error(),
               Catch::Contains("a.jsonl:1: segments[1] has no key \"label\"; its keys are text"));
}

TEST_CASE("A tokenizer with more tokens than the model is an error with file and line", "[completion]") {
  const Case one("completion", R"({"text": "x"})");
  REQUIRE_THAT(error_of<DataError>([&] { prepare(one.job, &one.tokenizer, 256); }),
               Catch::Contains("a.jsonl:1: token 256 at position 0"));
}

TEST_CASE("Another tokenizer makes another prepared file", "[reuse]") {
  Case one("completion", R"({"text": "x"})");
  prepare(one.job, &one.tokenizer, byte_vocab_size);
  const TemporaryFolder other;
  const Tokenizer with_template = byte_tokenizer(other, "{{ messages }}");
  REQUIRE_FALSE(prepare(one.job, &with_template, byte_vocab_size).reused);
}

TEST_CASE("inspect shows the tokens as text", "[inspect]") {
  const Case one("input_output",
                 R"({"segments": [{"label": false, "text": "a\n"}, {"label": true, "text": "b</s>"}]})");
  const PreparedSet set(prepare(one.job, &one.tokenizer, byte_vocab_size).path, "train");
  REQUIRE_THAT(describe_samples(set, &one.tokenizer, 1, false), Catch::EndsWith("\na|↵\n[b][</s>]\n\n"));
}
