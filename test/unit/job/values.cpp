// What may stand after a key, and what is said of what may not.
#include "job_files.h"

using namespace tessera;
using Catch::Matchers::Contains;

namespace {

std::string train_error(const std::string& line) { return error_of("[train]\n" + line + "\n"); }

}  // namespace

TEST_CASE("numbers are read in the usual notations", "[job]") {
  CHECK(job_of("[train]\nlearning_rate = 2e-5\n").train.learning_rate == 2e-5);
  CHECK(job_of("[train]\nlearning_rate = 0.001\n").train.learning_rate == 0.001);
  CHECK(job_of("[train]\nmax_steps = 100\n").train.max_steps == 100);
}

TEST_CASE("a number with anything left over is refused", "[job]") {
  for (const std::string text : {"1_000", "10x", "1e3", "4.0", "0x10", "+4", "9223372036854775808"}) {
    CHECK(train_error("max_steps = " + text) ==
          "mine.ini:6: [train] max_steps: " + text + "; expected a whole number from 0 to 1000000000000");
  }
  for (const std::string text : {"2e-5f", "1,5", "nan", "inf", "2e999"}) {
    CHECK(train_error("learning_rate = " + text) ==
          "mine.ini:6: [train] learning_rate: " + text + "; expected a number, at least 0 and at most 1e+30");
  }
}

TEST_CASE("a number outside its range is refused", "[job]") {
  CHECK(error_of("[data]\nsequence_len = 1\n") ==
        "mine.ini:6: [data] sequence_len: 1; expected a whole number from 2 to 16777216");
  CHECK(train_error("num_epochs = 0") ==
        "mine.ini:6: [train] num_epochs: 0; expected a number, above 0 and at most 1000000");
  CHECK(train_error("micro_batch_size = 0") ==
        "mine.ini:6: [train] micro_batch_size: 0; expected a whole number from 1 to 1000000");
  CHECK(train_error("adam_beta1 = 1") ==
        "mine.ini:6: [train] adam_beta1: 1; expected a number, at least 0 and below 1");
  CHECK(train_error("weight_decay = -0.1") ==
        "mine.ini:6: [train] weight_decay: -0.1; expected a number, at least 0 and at most 1e+30");
  CHECK(train_error("warmup_ratio = 1.5") ==
        "mine.ini:6: [train] warmup_ratio: 1.5; expected a number, at least 0 and at most 1");
  CHECK(error_of("[generate]\ntop_p = 0\n") ==
        "mine.ini:6: [generate] top_p: 0; expected a number, above 0 and at most 1");
  CHECK(error_of("[network]\ntimeout_seconds = 0\n") ==
        "mine.ini:6: [network] timeout_seconds: 0; expected a number, above 0 and at most 1000000000");
  CHECK(error_of("[dataset.a]\nrepeat = 0\n") ==
        "mine.ini:6: [dataset.a] repeat: 0; expected a whole number from 1 to 10000");
}

TEST_CASE("val_set_size is a fraction below 1 or a number of samples", "[job]") {
  CHECK(job_of("[data]\nval_set_size = 0.05\n").data.val_set_size == 0.05);
  CHECK(job_of("[data]\nval_set_size = 200\n").data.val_set_size == 200);
  CHECK(error_of("[data]\nval_set_size = 1.5\n") ==
        "mine.ini:6: [data] val_set_size: 1.5; expected a fraction below 1 or a whole number, at least 0 and at most "
        "1000000000");
}

TEST_CASE("a boolean has three spellings in any case", "[job]") {
  for (const std::string text : {"true", "True", "yes", "1"})
    CHECK(job_of("[data]\ntrain_on_inputs = " + text).data.train_on_inputs);
  for (const std::string text : {"false", "FALSE", "no", "0"})
    CHECK_FALSE(job_of("[data]\nsample_packing = " + text).data.sample_packing);
  CHECK(error_of("[data]\nshuffle = maybe\n") ==
        "mine.ini:6: [data] shuffle: maybe; expected true or false (or yes, no, 1, 0)");
}

TEST_CASE("generate.chat is unset unless the job sets it", "[job]") {
  CHECK_FALSE(job_of("").generate.chat.has_value());
  CHECK(job_of("[generate]\nchat = no\n").generate.chat == false);
}

TEST_CASE("a wrong choice is refused with the choices and the nearest", "[job]") {
  CHECK(train_error("lr_scheduler = cosin") ==
        "mine.ini:6: [train] lr_scheduler: cosin; expected linear, cosine, constant, constant_with_warmup, "
        "cosine_with_min_lr, inverse_sqrt or warmup_stable_decay; did you mean cosine?");
  CHECK(error_of("[shard]\nreduce_dtype = bf16\n") == "mine.ini:6: [shard] reduce_dtype: bf16; expected fp32");
  CHECK(error_of("[dataset.a]\nchat_template = lama3\n") ==
        "mine.ini:6: [dataset.a] chat_template: lama3; expected chatml, llama3, llama2, mistral or tokenizer_default; "
        "did you mean llama3?");
}

TEST_CASE("another program's name for a format is refused with the name to use", "[job]") {
  const std::string section = "[dataset.b]\npath = b.jsonl\ntype = ";
  for (const std::string type : {"share_gpt", "messages"})
    CHECK_THAT(error_of(section + type + "\n"),
               Contains("type: " + type + "; use chat_template") && Contains("ShareGPT's conversations"));
  CHECK_THAT(error_of(section + "sharegpt.load_role\n"), Contains("sharegpt.load_role; use sharegpt"));
  CHECK(error_of(section + "sharegpt\n") == "no error");
  CHECK_THAT(error_of(section + "pretrain\n"), Contains("pretrain; use completion"));
  CHECK_THAT(error_of(section + "alpacca\n"), Contains("did you mean alpaca?"));
}

TEST_CASE("an empty value is refused", "[job]") {
  CHECK(train_error("max_steps =") ==
        "mine.ini:6: [train] max_steps: empty; expected a whole number from 0 to 1000000000000");
  CHECK(error_of_file("[job]\noutput_dir =\n") == "mine.ini:2: [job] output_dir: empty; expected a path");
  CHECK(error_of("[dataset.a]\nfield =\n") == "mine.ini:6: [dataset.a] field: empty; expected a name");
}

TEST_CASE("sizes have decimal and binary units", "[job]") {
  const auto size_of = [](const std::string& text) {
    return job_of("[checkpoint]\nmax_shard_bytes = " + text).checkpoint.max_shard_bytes;
  };
  CHECK(size_of("5 GB") == 5'000'000'000);
  CHECK(size_of("300 MB") == 300'000'000);
  CHECK(size_of("300MB") == 300'000'000);
  CHECK(size_of("1.5 gb") == 1'500'000'000);
  CHECK(size_of("2 GiB") == 2'147'483'648);
  CHECK(size_of("12345") == 12345);
}

TEST_CASE("an invalid size is refused", "[job]") {
  for (const std::string text : {"5 GBit", "GB", "-5 GB", "0", "1.5", "5 5 GB"}) {
    CHECK(error_of("[checkpoint]\nmax_shard_bytes = " + text) ==
          "mine.ini:6: [checkpoint] max_shard_bytes: " + text +
              "; expected a size such as 5 GB, 300 MB, 2 GiB, or a number of bytes, at most 1000000 GB");
  }
}

TEST_CASE("relative paths start at the job file's folder", "[job]") {
  const JobFile file(required +
                     "[dataset.a]\npath = ../data/*.jsonl\ntype = alpaca\n[checkpoint]\nresume = out/step-1/\n");
  const Job job = file.parse();
  CHECK(job.job.output_dir == file.folder() / "out");
  CHECK(job.model.base == file.folder() / "model");
  CHECK(job.datasets[0].path == file.folder().parent_path() / "data/*.jsonl");
  CHECK(job.checkpoint.resume == (file.folder() / "out/step-1").string());
}

TEST_CASE("absolute paths and the words of resume stay as they are", "[job]") {
  const Job job = job_of("[data]\nprepared_path = /a/b\n[checkpoint]\nresume = never\n");
  CHECK(job.data.prepared_path == "/a/b");
  CHECK(job.checkpoint.resume == "never");
}

TEST_CASE("a prompt is the path of a file where there is such a file, else text", "[job]") {
  const JobFile file(required + "[generate]\nprompt = prompts.txt\n");
  CHECK(file.parse().generate.prompt == "prompts.txt");
  file.write("prompts.txt", "Once\n");
  CHECK(file.parse().generate.prompt == (file.folder() / "prompts.txt").string());
}

TEST_CASE("a prompt may be longer than a path can be", "[job]") {
  const std::string prompt(10000, 'x');
  CHECK(job_of("[generate]\nprompt = " + prompt).generate.prompt == prompt);
}

TEST_CASE("roles are a comma-separated list", "[job]") {
  const std::string chat = "[dataset.a]\npath = a\ntype = chat_template\n";
  CHECK(job_of(chat + "roles_to_train = assistant , tool").datasets[0].roles_to_train ==
        std::vector<std::string>{"assistant", "tool"});
  CHECK(error_of(chat + "roles_to_train = assistant,,tool") ==
        "mine.ini:8: [dataset.a] roles_to_train: assistant,,tool; expected a comma-separated list");
}
