// Defaults, and the resolved job as a job file of its own.
#include <cstdlib>

#include "job/fields.h"
#include "job_files.h"

using namespace tessera;

namespace {

/// The resolved text of the job that `text` makes, and of the job that this resolved text makes elsewhere.
std::pair<std::string, std::string> twice_resolved(const std::string& text) {
  const std::string once = resolved_text(job_of(text));
  return {once, resolved_text(JobFile(once).parse())};
}

/// What require_resolvable() says of a job; the folder of its file is left out.
std::string unsayable(const JobFile& file, const std::vector<std::string>& overrides = {}) {
  const Job job = file.parse(overrides);
  try {
    require_resolvable(job);
  } catch (const JobError& error) {
    const std::string message = error.what(), folder = file.folder().string() + "/";
    return message.starts_with(folder) ? message.substr(folder.size()) : message;
  }
  return "no error";
}

}  // namespace

TEST_CASE("defaults that other settings decide are filled in", "[job]") {
  const JobFile file(required);
  const Job job = file.parse();
  CHECK(job.file == file.path());
  CHECK(job.model.tokenizer == file.folder() / "model");
  CHECK(job.data.prepared_path == file.folder() / "out/prepared");
  CHECK(job.checkpoint.export_dir == file.folder() / "out/final");
}

TEST_CASE("a data set's field names have defaults, which the resolved job names for its type alone", "[job]") {
  const Job job = job_of(
      "[dataset.a]\npath = a\ntype = alpaca\nfield_input = context\n[dataset.b]\npath = b\ntype = "
      "completion\n[dataset.c]\npath = c\ntype = chat_template\n");
  CHECK(job.datasets[0].field_instruction.empty());  // the type's own
  CHECK(job.datasets[0].field_input == "context");
  const std::string text = resolved_text(job);
  CHECK(text.find("\nfield = text\n") > text.find("\n[dataset.b]\n"));
  CHECK(text.find("\nfield = text\n") == text.rfind("\nfield = text\n"));
  CHECK(job.datasets[1].field == "text");
  CHECK(job.datasets[2].field_messages.empty());  // the data room looks for messages, then conversations
  CHECK(job.datasets[2].chat_template == "tokenizer_default");
  CHECK(job.datasets[2].roles_to_train == std::vector<std::string>{"assistant"});
}

TEST_CASE("data sets keep the order of the file", "[job]") {
  const Job job = job_of(
      "[dataset.z]\npath = a\ntype = alpaca\n[eval_dataset.z]\npath = c\ntype = alpaca\n[dataset.a]\npath = b\ntype = "
      "tokenized\n");
  REQUIRE(job.datasets.size() == 2);
  CHECK(job.datasets[0].name == "z");
  CHECK(job.datasets[1].name == "a");
  CHECK(job.datasets[1].type->name == "tokenized");
  CHECK(job.eval_datasets.at(0).name == "z");
}

TEST_CASE("the resolved job of the least job reads back to itself", "[job]") {
  const auto [once, again] = twice_resolved("");
  CHECK(once == again);
}

TEST_CASE("the resolved job of a full job reads back to itself", "[job]") {
  const auto [once, again] = twice_resolved(
      "[data]\nval_set_size = 0.1\nsequence_len = 77\nworkers = 3\n[dataset.a]\npath = \"a # b/*.jsonl\"\ntype = "
      "alpaca_w_system.load_instruct\nsystem_prompt = \" Be\\n\\\"brief\\\"; $${now} \"\nlimit = 4\n[dataset.c]\npath "
      "= c\ntype = user_defined\nformat = \" {instruction} \"\n[dataset.b]\npath = b\ntype = "
      "chat_template\nroles_to_train = assistant,tool\ntrain_on_eos = last\n[train]\nmax_steps = 5\nglobal_batch_size "
      "= 6\nwarmup_ratio = 0.1\nlr_scheduler = warmup_stable_decay\nnum_decay_steps = 2\nlearning_rate = "
      "1.2345678901234567e-05\n[shard]\nstrategy = hybrid_shard\ngroup_size = 2\n[checkpoint]\nresume = "
      "out/step-1\nmax_shard_bytes = 123456789\nexport = every\n[generate]\nprompt = Once upon a time\nchat = true\n");
  CHECK(once == again);
}

TEST_CASE("every value of every choice survives in the resolved job", "[job]") {
  for (const Section& section : sections())
    for (const Field& field : section.fields) {
      if (section.repeated || !field.only_with.empty()) continue;
      for (const std::string& value : field.choices) {
        if (value == "cuda" || value == "cosine_with_min_lr" || value == "warmup_stable_decay") continue;
        CAPTURE(section.name, field.key, value);
        const std::string adapter =
            field.key == "quantization" ? "[adapter]\ntype = lora\nlora_r = 4\nlora_alpha = 8\n" : "";
        const std::string text = resolved_text(job_of(adapter, {section.name + "." + field.key + "=" + value}));
        CHECK(text.find("\n" + field.key + " = " + value + "\n") != std::string::npos);
      }
    }
}

TEST_CASE("the resolved job names settings exactly once and omits those that do not apply", "[job]") {
  const std::string text = resolved_text(job_of("[train]\nmax_steps = 5\nwarmup_ratio = 0.5\n"));
  CHECK(text.find("max_steps = 5\n") != std::string::npos);
  CHECK(text.find("num_epochs") == std::string::npos);
  CHECK(text.find("warmup_ratio = 0.5\n") != std::string::npos);
  CHECK(text.find("warmup_steps") == std::string::npos);
  CHECK(text.find("global_batch_size") == std::string::npos);
  CHECK(text.find("gradient_accumulation_steps = 1\n") != std::string::npos);
  CHECK(text.find("num_decay_steps") == std::string::npos);
}

TEST_CASE("the resolved job holds settings to the last bit", "[job]") {
  const Job job = job_of("[train]\nlearning_rate = 0.1234567890123456789\n");
  CHECK(JobFile(resolved_text(job)).parse().train.learning_rate == job.train.learning_rate);
}

TEST_CASE("the resolved job of a moved file has the same absolute paths", "[job]") {
  const Job job = job_of("[dataset.a]\npath = a\ntype = alpaca\n");
  const Job moved = JobFile(resolved_text(job)).parse();
  CHECK(moved.job.output_dir == job.job.output_dir);
  CHECK(moved.datasets[0].path == job.datasets[0].path);
}

TEST_CASE("settings that changed between two jobs are named, and no others", "[job]") {
  const JobFile file(required + "[train]\nlearning_rate = 1e-5\nmax_steps = 10\n");
  const std::string before = resolved_text(file.parse());
  CHECK(
      changed_settings(before, file.parse({"log.profile=true", "job.output_dir=elsewhere", "data.workers=1"})).empty());
  CHECK(changed_settings(before, file.parse({"train.learning_rate=2e-5", "train.num_epochs=3"})) ==
        std::vector<std::string>{"[train] learning_rate: 1e-05, now 2e-05", "[train] max_steps: 10, now none",
                                 "[train] num_epochs: now 3"});
}

TEST_CASE("a key that an earlier build did not have is no change while it has its default", "[job]") {
  const JobFile file(required);
  std::string before = resolved_text(file.parse());
  for (const std::string line : {"type = none\n", "quantization = none\n"}) {
    REQUIRE(before.find("\n" + line) != std::string::npos);
    before.erase(before.find("\n" + line) + 1, line.size());
  }
  CHECK(changed_settings(before, file.parse()).empty());
  CHECK(changed_settings(before, file.parse({"adapter.type=lora", "adapter.lora_r=4", "adapter.lora_alpha=8"})) ==
        std::vector<std::string>{"[adapter] lora_alpha: now 8", "[adapter] lora_r: now 4",
                                 "[adapter] loraplus_lr_ratio: now 1", "[adapter] type: now lora"});
}

TEST_CASE("a value from the environment is written back as it was given, also as a part of one", "[job]") {
  ::setenv("TESSERA_TEST_SECRET", "hunter2 # ; \"x\"", 1);
  ::setenv("TESSERA_TEST_RATE", "0.25", 1);
  const JobFile file(
      required +
      "[dataset.a]\npath = a\ntype = alpaca_w_system\nsystem_prompt = \" key: ${TESSERA_TEST_SECRET}, not $${A} "
      "\"\n[dataset.b]\npath = b\ntype = chat_template\nroles_to_train = user, "
      "${TESSERA_TEST_SECRET}\n[train]\nlearning_rate = ${TESSERA_TEST_RATE}\n");
  const Job job = file.parse({"generate.prompt=say ${TESSERA_TEST_SECRET}"});
  CHECK(job.datasets[0].system_prompt == " key: hunter2 # ; \"x\", not ${A} ");
  CHECK(job.train.learning_rate == 0.25);
  const std::string text = resolved_text(job);
  CHECK(text.find("hunter2") == std::string::npos);
  CHECK(text.find("system_prompt = \" key: ${TESSERA_TEST_SECRET}, not $${A} \"\n") != std::string::npos);
  CHECK(text.find("prompt = say ${TESSERA_TEST_SECRET}\n") != std::string::npos);
  CHECK(text.find("learning_rate = ${TESSERA_TEST_RATE}\n") != std::string::npos);

  const Job again = JobFile(text).parse();
  CHECK(again.datasets[0].system_prompt == job.datasets[0].system_prompt);
  CHECK(again.datasets[1].roles_to_train == job.datasets[1].roles_to_train);
  CHECK(again.generate.prompt == job.generate.prompt);
  CHECK(resolved_text(again) == text);
  CHECK_NOTHROW(require_resolvable(job));
}

TEST_CASE("a path from the environment is written as it is", "[job]") {
  ::setenv("TESSERA_TEST_PLACE", "/somewhere", 1);
  const JobFile file(
      required + "[dataset.a]\npath = ${TESSERA_TEST_PLACE}/*.jsonl\ntype = alpaca\n" +
      "[checkpoint]\nresume = ${TESSERA_TEST_PLACE}/step-1\n[generate]\nprompt = ${TESSERA_TEST_PROMPTS}\n");
  file.write("prompts.txt", "Once\n");
  ::setenv("TESSERA_TEST_PROMPTS", (file.folder() / "prompts.txt").c_str(), 1);
  const std::string text = resolved_text(file.parse());
  CHECK(text.find("${") == std::string::npos);
  CHECK(text.find("path = /somewhere/*.jsonl\n") != std::string::npos);
  CHECK(text.find("resume = /somewhere/step-1\n") != std::string::npos);
}

TEST_CASE("an override displaces what the environment gave", "[job]") {
  ::setenv("TESSERA_TEST_RATE", "0.25", 1);
  const JobFile file(required + "[train]\nlearning_rate = ${TESSERA_TEST_RATE}\n");
  CHECK(resolved_text(file.parse({"train.learning_rate=0.5"})).find("learning_rate = 0.5\n") != std::string::npos);
}

TEST_CASE("a value that the resolved job cannot express is refused with its section and key", "[job]") {
  const JobFile file(required + "[dataset.a]\npath = a\ntype = alpaca\n");
  CHECK(unsayable(file) == "no error");
  CHECK(unsayable(file, {"job.output_dir=/x/b\xE9"}) ==
        "mine.ini: [job] output_dir: /x/b\\xE9 is not UTF-8 and cannot be written to the resolved job file; rename it");
  for (const auto& [name, shown] :
       {std::pair<std::string, std::string>{"a]b", "a]b"}, {"a\nb", "a\\x0Ab"}, {"a ", "a "}, {"\xFF", "\\xFF"}}) {
    CAPTURE(shown);
    CHECK(unsayable(file, {"dataset." + name + ".path=/x", "dataset." + name + ".type=alpaca"}) ==
          "mine.ini: [dataset." + shown +
              "]: this name cannot be written to the resolved job file; rename the data set");
  }
}

TEST_CASE("names and values of any characters that a job file can hold can be expressed", "[job]") {
  const JobFile file(
      required +
      "[dataset.a;b#c d]\npath = \"x ; y\"\ntype = alpaca_w_system\nsystem_prompt = \"\\\"\\n\\\\ $${x} \"\n");
  CHECK(unsayable(file) == "no error");
  CHECK(unsayable(file, {"generate.prompt=\r\"tab\t\\\n", "job.output_dir=/\u00e9 # x"}) == "no error");
}

TEST_CASE("a value that the resolved job would change is refused", "[job]") {
  const JobFile file(required + "[generate]\nprompt = prompts.txt\n");
  std::filesystem::create_directories(file.folder() / "out");
  file.write("out/prompts.txt", "Once\n");  // the resolved job lies beside it
  CHECK(unsayable(file).starts_with("mine.ini: [generate] prompt: prompts.txt does not survive the resolved job file"));
}

TEST_CASE("a copy of a job that does not parse, or whose variables are unset, does not prevent the comparison",
          "[job]") {
  ::setenv("TESSERA_TEST_RATE", "0.25", 1);
  const JobFile file(required + "[train]\nlearning_rate = ${TESSERA_TEST_RATE}\n");
  const std::string before = resolved_text(file.parse());
  CHECK(changed_settings(before, file.parse()).empty());
  CHECK(changed_settings(before, file.parse({"train.learning_rate=0.5"})) ==
        std::vector<std::string>{"[train] learning_rate: ${TESSERA_TEST_RATE}, now 0.5"});
  const Job now = file.parse();
  ::unsetenv("TESSERA_TEST_RATE");
  CHECK(changed_settings(before, now).empty());
  CHECK(changed_settings("\xFF[", now) ==
        std::vector<std::string>{"settings not compared, since the checkpoint's copy of the job cannot be read (the "
                                 "resolved job:1: not UTF-8; save the job file as UTF-8)"});
}

TEST_CASE("a copy that holds the value of a variable counts as unchanged", "[job]") {
  ::setenv("TESSERA_TEST_RATE", "0.25", 1);
  const JobFile file(required + "[train]\nlearning_rate = ${TESSERA_TEST_RATE}\n");
  CHECK(changed_settings(resolved_text(file.parse({"train.learning_rate=0.25"})), file.parse()).empty());
}
