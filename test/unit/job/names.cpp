// Which sections and keys there are, and what is said of those that are not.
#include <algorithm>

#include "base/nearest.h"
#include "job/fields.h"
#include "job_files.h"

using namespace tessera;

namespace {

std::vector<std::string> names(const std::string& blank_separated) {
  std::istringstream words(blank_separated);
  return {std::istream_iterator<std::string>(words), {}};
}

std::vector<std::string> keys_of(const std::string& section_name) {
  std::vector<std::string> keys;
  for (const Section& section : sections())
    if (section.name == section_name)
      for (const Field& field : section.fields) keys.push_back(field.key);
  return keys;
}

}  // namespace

TEST_CASE("every key of the contract is known, and no other", "[job]") {
  const std::string dataset =
      "path type repeat limit shards shards_idx overlong field document field_system field_instruction field_input "
      "field_output format "
      "no_input_format system_format field_messages message_field_role message_field_content message_field_training "
      "chat_template system_prompt roles_to_train "
      "train_on_eos";
  CHECK(keys_of("job") == names("output_dir seed"));
  CHECK(keys_of("model") ==
        names("base init tokenizer gradient_checkpointing precision quantization double_quantization"));
  CHECK(
      keys_of("adapter") ==
      names(
          "type lora_r lora_alpha lora_dropout use_rslora use_dora target_modules exclude_modules layers_to_transform "
          "modules_to_save loraplus_lr_ratio init_lora_weights base_adapter"));
  CHECK(keys_of("data") == names("sequence_len sample_packing shuffle train_on_inputs val_set_size prepared_path "
                                 "overlong deduplicate on_error max_record_bytes workers"));
  CHECK(keys_of("dataset") == names(dataset));
  CHECK(keys_of("eval_dataset") == names(dataset));
  CHECK(keys_of("train") ==
        names("num_epochs max_steps micro_batch_size gradient_accumulation_steps global_batch_size learning_rate "
              "lr_scheduler warmup_steps warmup_ratio min_lr_rate num_cycles num_stable_steps num_decay_steps "
              "inverse_sqrt_timescale optimizer adam_beta1 adam_beta2 adam_epsilon weight_decay max_grad_norm"));
  CHECK(keys_of("shard") ==
        names("strategy backward_prefetch forward_prefetch limit_all_gathers group_size reduce_dtype offload "
              "adapter_strategy"));
  CHECK(keys_of("checkpoint") == names("save_steps save_total_limit resume async export export_dir export_dtype "
                                       "export_adapter merge_dequantized max_shard_bytes"));
  CHECK(keys_of("eval") == names("eval_steps max_samples"));
  CHECK(keys_of("log") == names("logging_steps tensorboard profile trace"));
  CHECK(keys_of("generate") == names("prompt chat max_new_tokens temperature top_p"));
  CHECK(keys_of("device") == names("type threads share deterministic"));
  CHECK(keys_of("network") == names("interface timeout_seconds nccl_max_ctas"));
  CHECK(keys_of("plan") == names("ranks ranks_per_host device flops bandwidth"));
  CHECK(sections().size() == 15);
}

TEST_CASE("an unknown key is an error that names the nearest", "[job]") {
  CHECK(error_of("[train]\nmicro_batchsize = 4\n") ==
        "mine.ini:6: [train] micro_batchsize: no such key; did you mean micro_batch_size?");
}

TEST_CASE("a key of another section is an error that names that section", "[job]") {
  CHECK(error_of("[train]\nsequence_len = 512\n") ==
        "mine.ini:6: [train] sequence_len: no such key; did you mean [data] sequence_len?");
}

TEST_CASE("an unknown key of a data set is an error that names the nearest", "[job]") {
  CHECK(error_of("[dataset.a]\nfield_instructions = x\n") ==
        "mine.ini:6: [dataset.a] field_instructions: no such key; did you mean field_instruction?");
}

TEST_CASE("an unknown section is an error that names the nearest", "[job]") {
  CHECK(error_of("[trian]\n") == "mine.ini:5: [trian]: no such section; did you mean [train]?");
  CHECK(error_of("[Train]\n") == "mine.ini:5: [Train]: no such section; did you mean [train]?");
  CHECK(error_of("[train.a]\n") == "mine.ini:5: [train.a]: no such section; did you mean [train]?");
  CHECK(error_of("[datasets.a]\n") == "mine.ini:5: [datasets.a]: no such section; did you mean [dataset.a]?");
  CHECK(error_of("[datasets]\n") == "mine.ini:5: [datasets]: no such section; did you mean [dataset.NAME]?");
}

TEST_CASE("a data set without a name is an error", "[job]") {
  CHECK(error_of("[dataset]\n") == "mine.ini:5: [dataset]: a name is missing; write [dataset.NAME]");
  CHECK(error_of("[eval_dataset.]\n") == "mine.ini:5: [eval_dataset.]: a name is missing; write [eval_dataset.NAME]");
}

TEST_CASE("a missing key is an error at its section, or at the file without one", "[job]") {
  CHECK(error_of_file("[model]\nbase = b\n\n[job]\nseed = 1\n") ==
        "mine.ini:4: [job] output_dir: missing; expected a path. Directory for all output: metrics, checkpoints, the "
        "resolved job, the exported model.");
  CHECK(error_of_file("[job]\noutput_dir = b\n") ==
        "mine.ini: [model] base: missing; expected a path. Hugging Face directory with config.json, *.safetensors (or "
        "their index) and tokenizer.json.");
  CHECK(error_of("[dataset.a]\ntype = alpaca\n") ==
        "mine.ini:5: [dataset.a] path: missing; expected the path of a file or directory, or a glob. Data files: "
        ".jsonl, .json, .csv, .tsv or .txt, optionally compressed as .gz or .zst.");
  CHECK(error_of("[dataset.a]\npath = a.jsonl\n") ==
        "mine.ini:5: [dataset.a] type: missing; expected chat_template, completion, alpaca, input_output, tokenized, "
        "user_defined, or another type (docs/data.md#types). "
        "Sample format.");
}

TEST_CASE("the edit distance counts insertions, deletions and replacements", "[job]") {
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("same", "same") == 0);
}

TEST_CASE("every condition of a field names a key and values that exist", "[job]") {
  for (const Section& section : sections())
    for (const Field& field : section.fields) {
      std::vector<Condition> conditions = field.only_with;
      if (field.needed_by) conditions.push_back(*field.needed_by);
      for (const Condition& condition : conditions)
        for (const std::string& value : condition.values) {
          CAPTURE(field.key, condition.key, value);
          const std::vector<std::string>& choices = section.at(condition.key).choices;
          CHECK(std::find(choices.begin(), choices.end(), value) != choices.end());
        }
    }
}
