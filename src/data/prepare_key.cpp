#include "data/prepare_key.h"

#include <algorithm>

#include "base/files.h"
#include "base/hash.h"
#include "data/prepared_layout.h"
#include "data/records.h"
#include "data/sample_store.h"

namespace tessera {
namespace {

/// Goes up when the same data and settings shall give other samples.  Not the file's layout, which may change without.
constexpr int64_t samples_version = 2;

void add(Hasher& hasher, int64_t value) { hasher.update(&value, sizeof value); }
void add(Hasher& hasher, double value) { hasher.update(&value, sizeof value); }

void add_settings(Hasher& hasher, const DatasetSettings& d, Overlong overlong) {
  for (const std::string* text :
       {&d.field, &d.field_system, &d.field_instruction, &d.field_input, &d.field_output, &d.field_messages,
        &d.message_field_role, &d.message_field_content, &d.message_field_training, &d.chat_template, &d.system_prompt,
        &d.format, &d.no_input_format, &d.system_format})
    hasher.update_field(*text);
  hasher.update_field(d.type->name);
  add(hasher, static_cast<int64_t>(d.roles_to_train.size()));
  for (const std::string& role : d.roles_to_train) hasher.update_field(role);
  for (const int64_t number : {static_cast<int64_t>(overlong), static_cast<int64_t>(d.document), d.shards, d.shards_idx,
                               d.repeat, d.limit, static_cast<int64_t>(d.train_on_eos)})
    add(hasher, number);
}

}  // namespace

std::vector<FoundDataset> find_datasets(const Job& job) {
  std::vector<FoundDataset> found;
  const auto find = [&](const DatasetSettings& dataset, const std::string& section, bool evaluation) {
    const std::string name = section + "." + dataset.name;
    found.push_back({&dataset, name, evaluation, find_data_files(dataset, name)});
  };
  for (const DatasetSettings& dataset : job.datasets) find(dataset, "dataset", false);
  for (const DatasetSettings& dataset : job.eval_datasets) find(dataset, "eval_dataset", true);
  return found;
}

bool needs_tokenizer(const Job& job) {
  const auto is_text = [](const DatasetSettings& dataset) { return dataset.type->kind != DatasetKind::tokenized; };
  return std::any_of(job.datasets.begin(), job.datasets.end(), is_text) ||
         std::any_of(job.eval_datasets.begin(), job.eval_datasets.end(), is_text);
}

std::string prepare_key(const Job& job, const std::vector<FoundDataset>& datasets, const Tokenizer* tokenizer,
                        int64_t vocab_size) {
  Hasher hasher;
  hasher.update_field(prepared_format);
  for (const int64_t number :
       {samples_version, vocab_size, job.data.sequence_len, static_cast<int64_t>(job.data.on_error),
        static_cast<int64_t>(job.data.train_on_inputs), static_cast<int64_t>(job.data.deduplicate)})
    add(hasher, number);
  add(hasher, job.data.val_set_size);
  if (job.data.val_set_size > 0) add(hasher, job.job.seed);
  if (tokenizer && needs_tokenizer(job)) {
    hasher.update_field(tokenizer->fingerprint());
    hasher.update_field(tokenizer->chat_template());
    add(hasher, tokenizer->eos_id() ? int64_t{*tokenizer->eos_id()} : -1);
    add(hasher, tokenizer->bos_id() ? int64_t{*tokenizer->bos_id()} : -1);
  }
  for (const FoundDataset& dataset : datasets) {
    add(hasher, int64_t{dataset.evaluation});
    add_settings(hasher, *dataset.settings, overlong_of(*dataset.settings, job.data));
    for (const Path& file : dataset.files) {
      hasher.update_field(file.string());
      add(hasher, InputFile(file).size());
      hasher.update_file(file);
    }
  }
  return hasher.hex();
}

}  // namespace tessera
