// Keys that others leave without use, keys that exclude each other, and what this build lacks.
#include "job_files.h"

using namespace tessera;

namespace {

std::string dataset_error(const std::string& type, const std::string& line) {
  return error_of("[dataset.a]\npath = a.jsonl\ntype = " + type + "\n" + line + "\n");
}

std::string train_error(const std::string& lines) { return error_of("[train]\n" + lines + "\n"); }

}  // namespace

TEST_CASE("a key that the data set's type does not use is refused with the types that do", "[job]") {
  CHECK(dataset_error("tokenized", "field_instruction = q") ==
        "mine.ini:8: [dataset.a] field_instruction: only applies with types of an instruction and an answer; here type "
        "is "
        "tokenized");
  CHECK(dataset_error("chat_template", "field = text") ==
        "mine.ini:8: [dataset.a] field: only applies with type = completion; here type is chat_template");
  CHECK(dataset_error("completion", "system_prompt = Hello") ==
        "mine.ini:8: [dataset.a] system_prompt: only applies with types that have a system text; here type is "
        "completion");
  CHECK(
      dataset_error("alpaca", "train_on_eos = turn") ==
      "mine.ini:8: [dataset.a] train_on_eos: only applies with type = chat_template or sharegpt; here type is alpaca");
}

TEST_CASE("a shard's number is below the number of shards", "[job]") {
  CHECK_THAT(dataset_error("alpaca", "shards = 4\nshards_idx = 4"),
             Catch::Contains("shards_idx: is 4, but there are 4 shards ([dataset.a] shards), which count from 0"));
  CHECK(dataset_error("alpaca", "shards = 4\nshards_idx = 3") == "no error");
}

TEST_CASE("every key with a format's names belongs to a type", "[job]") {
  for (const std::string line :
       {"field = x", "field_system = x", "field_instruction = x", "field_input = x", "field_output = x",
        "field_messages = x", "message_field_role = x", "message_field_content = x", "message_field_training = x",
        "chat_template = chatml", "system_prompt = x", "format = x", "no_input_format = x", "system_format = x",
        "roles_to_train = x", "train_on_eos = all"}) {
    CAPTURE(line);
    CHECK(dataset_error("input_output", line).find("; here type is input_output") != std::string::npos);
  }
}

TEST_CASE("an argument that the schedule does not have is refused with the schedules that do", "[job]") {
  CHECK(train_error("lr_scheduler = linear\nmin_lr_rate = 0.1") ==
        "mine.ini:7: [train] min_lr_rate: only applies with lr_scheduler = cosine_with_min_lr or warmup_stable_decay; "
        "here lr_scheduler is linear");
  CHECK(train_error("num_stable_steps = 10") ==
        "mine.ini:6: [train] num_stable_steps: only applies with lr_scheduler = warmup_stable_decay; here lr_scheduler "
        "is cosine");
  CHECK(train_error("num_decay_steps = 10") ==
        "mine.ini:6: [train] num_decay_steps: only applies with lr_scheduler = warmup_stable_decay; here lr_scheduler "
        "is cosine");
  CHECK(train_error("inverse_sqrt_timescale = 10") ==
        "mine.ini:6: [train] inverse_sqrt_timescale: only applies with lr_scheduler = inverse_sqrt; here lr_scheduler "
        "is cosine");
  CHECK(train_error("num_cycles = 1\nlr_scheduler = constant") ==
        "mine.ini:6: [train] num_cycles: only applies with lr_scheduler = cosine, cosine_with_min_lr or "
        "warmup_stable_decay; here lr_scheduler is constant");
}

TEST_CASE("0 where 0 means off may stand with any schedule", "[job]") {
  CHECK(train_error("lr_scheduler = constant\nwarmup_steps = 0\nmin_lr_rate = 0") == "no error");
}

TEST_CASE("an argument that the schedule needs is missed", "[job]") {
  CHECK(train_error("lr_scheduler = cosine_with_min_lr") ==
        "mine.ini:5: [train] min_lr_rate: missing; lr_scheduler = cosine_with_min_lr requires it; expected a number, "
        "at least 0 and at most 1");
  CHECK(train_error("lr_scheduler = warmup_stable_decay") ==
        "mine.ini:5: [train] num_decay_steps: missing; lr_scheduler = warmup_stable_decay requires it; expected a "
        "whole number from 0 to 1000000000000");
}

TEST_CASE("group_size belongs to hybrid_shard", "[job]") {
  CHECK(error_of("[shard]\ngroup_size = 2\n") ==
        "mine.ini:6: [shard] group_size: only applies with strategy = hybrid_shard; here strategy is full_shard");
  CHECK(job_of("[shard]\ngroup_size = 2\nstrategy = hybrid_shard\n").shard.group_size == 2);
}

TEST_CASE("two keys that say the same thing differently exclude each other", "[job]") {
  CHECK(train_error("num_epochs = 2\nmax_steps = 10") ==
        "mine.ini:7: [train] max_steps: excludes num_epochs, which is set too (mine.ini:6); remove one of the two");
  CHECK(train_error("global_batch_size = 8\ngradient_accumulation_steps = 2") ==
        "mine.ini:6: [train] global_batch_size: excludes gradient_accumulation_steps, which is set too (mine.ini:7); "
        "remove one of the two");
  CHECK(
      train_error("warmup_steps = 5\nwarmup_ratio = 0.1") ==
      "mine.ini:7: [train] warmup_ratio: excludes warmup_steps, which is set too (mine.ini:6); remove one of the two");
}

TEST_CASE("an alternative that is 0 counts as not given", "[job]") {
  CHECK(train_error("num_epochs = 2\nmax_steps = 0\nwarmup_steps = 0\nwarmup_ratio = 0.1") == "no error");
}

TEST_CASE("a split for validation and evaluation sets exclude each other", "[job]") {
  CHECK(
      error_of("[data]\nval_set_size = 10\n[eval_dataset.held]\npath = a\ntype = alpaca\n") ==
      "mine.ini:6: [data] val_set_size: excludes [eval_dataset.held]; remove val_set_size or the evaluation data sets");
}

TEST_CASE("eval_steps and max_samples need evaluation data", "[job]") {
  const std::string told = ": there is no evaluation data; set [data] val_set_size or add an [eval_dataset.NAME]";
  CHECK(error_of("[eval]\neval_steps = 10\n") == "mine.ini:6: [eval] eval_steps" + told);
  CHECK(error_of("[eval]\nmax_samples = 10\n") == "mine.ini:6: [eval] max_samples" + told);
  CHECK(error_of("[eval]\neval_steps = 0\nmax_samples = 0\n") == "no error");
  CHECK(error_of("[data]\nval_set_size = 0.1\n[eval]\neval_steps = 10\n") == "no error");
  CHECK(error_of("[eval]\neval_steps = 10\n[eval_dataset.held]\npath = a\ntype = alpaca\n") == "no error");
}

TEST_CASE("a micro-batch has no more tokens than 32 bits count", "[job]") {
  CHECK(error_of("[data]\nsequence_len = 16777216\n[train]\nmicro_batch_size = 128\n") ==
        "mine.ini:8: [train] micro_batch_size: 128 sequences of 16777216 tokens ([data] sequence_len) exceed "
        "2147483647 tokens per micro-batch; lower one of the two");
  CHECK(error_of("[data]\nsequence_len = 16777216\n[train]\nmicro_batch_size = 127\n") == "no error");
}
