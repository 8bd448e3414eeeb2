// Defaults, and the resolved job as a job file of its own.
#include "job/fields.h"
#include "job_files.h"

using namespace tessera;

namespace {

/// The resolved text of the job that `text` makes, and of the job that this resolved text makes elsewhere.
std::pair<std::string, std::string> twice_resolved(const std::string& text) {
  const std::string once = resolved_text(job_of(text));
  return {once, resolved_text(JobFile(once).parse())};
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

TEST_CASE("a data set's field names are filled in for its type alone", "[job]") {
  const Job job = job_of(
      "[dataset.a]\npath = a\ntype = alpaca\nfield_input = context\n"
      "[dataset.b]\npath = b\ntype = completion\n"
      "[dataset.c]\npath = c\ntype = chat_template\n");
  CHECK(job.datasets[0].field_instruction == "instruction");
  CHECK(job.datasets[0].field_input == "context");
  CHECK(job.datasets[0].field.empty());
  CHECK(job.datasets[1].field == "text");
  CHECK(job.datasets[2].field_messages.empty());  // the data room looks for messages, then conversations
  CHECK(job.datasets[2].chat_template == "tokenizer_default");
  CHECK(job.datasets[2].roles_to_train == std::vector<std::string>{"assistant"});
}

TEST_CASE("data sets keep the order of the file", "[job]") {
  const Job job = job_of(
      "[dataset.z]\npath = a\ntype = alpaca\n[eval_dataset.z]\npath = c\ntype = alpaca\n"
      "[dataset.a]\npath = b\ntype = tokenized\n");
  REQUIRE(job.datasets.size() == 2);
  CHECK(job.datasets[0].name == "z");
  CHECK(job.datasets[1].name == "a");
  CHECK(job.datasets[1].type == DatasetType::tokenized);
  CHECK(job.eval_datasets.at(0).name == "z");
}

TEST_CASE("the resolved job of the least job reads back to itself", "[job]") {
  const auto [once, again] = twice_resolved("");
  CHECK(once == again);
}

TEST_CASE("the resolved job of a full job reads back to itself", "[job]") {
  const auto [once, again] = twice_resolved(
      "[data]\nval_set_size = 0.1\nsequence_len = 77\nworkers = 3\n"
      "[dataset.a]\npath = \"a # b/*.jsonl\"\ntype = alpaca\nsystem_prompt = \" Be\\n\\\"brief\\\"; $${now} \"\nlimit "
      "= 4\n"
      "[dataset.b]\npath = b\ntype = chat_template\nroles_to_train = assistant,tool\ntrain_on_eos = last\n"
      "[train]\nmax_steps = 5\nglobal_batch_size = 6\nwarmup_ratio = 0.1\nlr_scheduler = warmup_stable_decay\n"
      "num_decay_steps = 2\nlearning_rate = 1.2345678901234567e-05\n"
      "[shard]\nstrategy = hybrid_shard\ngroup_size = 2\n"
      "[checkpoint]\nresume = out/step-1\nmax_shard_bytes = 123456789\nexport = every\n"
      "[generate]\nprompt = Once upon a time\nchat = true\n");
  CHECK(once == again);
}

TEST_CASE("every value of every choice survives in the resolved job", "[job]") {
  for (const Section& section : sections())
    for (const Field& field : section.fields) {
      if (section.repeated || !field.only_with.empty()) continue;
      for (const std::string& value : field.choices) {
        if (value == "cuda" || value == "cosine_with_min_lr" || value == "warmup_stable_decay") continue;
        CAPTURE(section.name, field.key, value);
        const std::string text = resolved_text(job_of("", {section.name + "." + field.key + "=" + value}));
        CHECK(text.find("\n" + field.key + " = " + value + "\n") != std::string::npos);
      }
    }
}

TEST_CASE("the resolved job names settings exactly once and leaves out what does not count", "[job]") {
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

TEST_CASE("what a job trains with otherwise than another is named, and only that", "[job]") {
  const JobFile file(required + "[train]\nlearning_rate = 1e-5\nmax_steps = 10\n");
  const std::string before = resolved_text(file.parse());
  CHECK(
      changed_settings(before, file.parse({"log.profile=true", "job.output_dir=elsewhere", "data.workers=1"})).empty());
  CHECK(changed_settings(before, file.parse({"train.learning_rate=2e-5", "train.num_epochs=3"})) ==
        std::vector<std::string>{"[train] learning_rate: 1e-05, now 2e-05", "[train] max_steps: 10, now none",
                                 "[train] num_epochs: now 3"});
}
