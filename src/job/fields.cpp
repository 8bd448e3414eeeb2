#include "job/fields.h"

#include <algorithm>
#include <stdexcept>

#include "job/field_builder.h"

namespace tessera {
namespace {

Section job_section() {
  const Of<JobSettings> job{&Job::job};
  return {"job",
          "Output directory and random seed.",
          false,
          {job.key("output_dir", &JobSettings::output_dir, path(),
                   "Directory for all output: metrics, checkpoints, the resolved job, the exported model")
               .must_be_given(),
           job.key("seed", &JobSettings::seed, whole_number(0, int64_t{1} << 53),
                   "Seed of the sample order, the validation split and randomly initialised weights")}};
}

Section model_section() {
  const Of<ModelSettings> model{&Job::model};
  const auto precision = choice<Precision>({{Precision::bf16, "bf16"}, {Precision::fp32, "fp32"}});
  const auto init = choice<Init>({{Init::pretrained, "pretrained"}, {Init::random, "random"}});
  const auto checkpointing = choice<Checkpointing>(
      {{Checkpointing::none, "none"}, {Checkpointing::selective, "selective"}, {Checkpointing::full, "full"}});
  return {
      "model",
      "The model to train.",
      false,
      {model
           .key("base", &ModelSettings::base, path(),
                "Hugging Face directory with config.json, *.safetensors (or their index) and tokenizer.json")
           .must_be_given(),
       model.key("init", &ModelSettings::init, init,
                 "Start from the weights in base, or from random weights in the shape of its config.json"),
       model.key("tokenizer", &ModelSettings::tokenizer, path(), "Directory that holds tokenizer.json")
           .filled("base", [](const Target& target) { return target.job.model.base.string(); }),
       model.key("gradient_checkpointing", &ModelSettings::gradient_checkpointing, checkpointing,
                 "Recompute in the backward pass: none, selective (norms), full (all but layer inputs and attention "
                 "outputs)"),
       model.key(
           "precision", &ModelSettings::precision, precision,
           "Type of weights and activations in compute. Master weights, moments and gradient sums are always fp32"),
       model.key("quantization", &ModelSettings::quantization,
                 choice<Quantization>(
                     {{Quantization::none, "none"}, {Quantization::nf4, "nf4"}, {Quantization::int8, "int8"}}),
                 "How the linear modules of an adapter's frozen base are kept: in the compute type, in 4 bits as "
                 "bitsandbytes' NF4 (QLoRA), or in 8 bits with a scale per row"),
       model
           .key("double_quantization", &ModelSettings::double_quantization, boolean(),
                "Keep the absmax of NF4's blocks in 8 bits too")
           .with("quantization", {"nf4"})}};
}

Section data_section() {
  const Of<DataSettings> data{&Job::data};
  const auto on_error = choice<OnError>({{OnError::stop, "stop"}, {OnError::skip, "skip"}});
  const auto prepared = [](const Target& target) { return (target.job.job.output_dir / "prepared").string(); };
  return {
      "data",
      "How data sets become token sequences.",
      false,
      {data.key("sequence_len", &DataSettings::sequence_len, whole_number(2, most::tokens),
                "Maximum tokens per sequence, packed or not"),
       data.key("sample_packing", &DataSettings::sample_packing, boolean(),
                "Pack several samples into a sequence. Each sample attends only to itself"),
       data.key("shuffle", &DataSettings::shuffle, boolean(),
                "Shuffle the samples again in each epoch. false keeps file order"),
       data.key("train_on_inputs", &DataSettings::train_on_inputs, boolean(), "Compute the loss on prompts too"),
       data.key("val_set_size", &DataSettings::val_set_size, fraction_or_count(most::samples),
                "Samples held out for evaluation: a fraction (below 1) or a count"),
       data.key("prepared_path", &DataSettings::prepared_path, path(), "Directory of the prepared (tokenised) files")
           .filled("output_dir/prepared", prepared),
       data.key("overlong", &DataSettings::overlong, overlong_choice(true),
                "What to do with samples longer than sequence_len. by_type: split with type = completion, else drop"),
       data.key(
           "deduplicate", &DataSettings::deduplicate, boolean(),
           "Leave out samples whose tokens and labels another sample of the job has, evaluation data sets included"),
       data.key("on_error", &DataSettings::on_error, on_error,
                "What to do with a record that cannot be read: stop the job, or skip the record with a warning"),
       data.key("max_record_bytes", &DataSettings::max_record_bytes, byte_size(most::record_bytes),
                "Maximum size of one JSON record, decompressed. A longer record is an error"),
       data.key("workers", &DataSettings::workers, whole_number(0, most::threads),
                "Tokenising threads. 0: one per core of the host")
           .off_at_zero()}};
}

Section shard_section() {
  const Of<ShardSettings> shard{&Job::shard};
  const auto strategy = choice<Strategy>({{Strategy::full_shard, "full_shard"},
                                          {Strategy::shard_grad_op, "shard_grad_op"},
                                          {Strategy::no_shard, "no_shard"},
                                          {Strategy::hybrid_shard, "hybrid_shard"}});
  const auto prefetch = choice<BackwardPrefetch>({{BackwardPrefetch::backward_pre, "backward_pre"},
                                                  {BackwardPrefetch::backward_post, "backward_post"},
                                                  {BackwardPrefetch::none, "none"}});
  const auto offload =
      choice<Offload>({{Offload::none, "none"}, {Offload::optimizer, "optimizer"}, {Offload::params, "params"}});
  return {
      "shard",
      "What is sharded over the ranks, and when it is gathered.",
      false,
      {shard.key("strategy", &ShardSettings::strategy, strategy,
                 "full_shard: shard weights, gradients and optimizer state. shard_grad_op: shard gradients and "
                 "optimizer state, gather the weights once per update. no_shard: replicate everything. hybrid_shard: "
                 "full_shard within groups of ranks, replicated between groups"),
       shard.key("backward_prefetch", &ShardSettings::backward_prefetch, prefetch,
                 "When to gather the next unit: before the backward pass of the current one, after it, or on demand"),
       shard.key("forward_prefetch", &ShardSettings::forward_prefetch, boolean(),
                 "Gather the next unit while the current one computes"),
       shard.key("limit_all_gathers", &ShardSettings::limit_all_gathers, boolean(),
                 "Gather at most two units ahead, which bounds memory"),
       shard
           .key("group_size", &ShardSettings::group_size, whole_number(0, most::ranks),
                "Ranks per shard group. 0: the ranks of one host")
           .off_at_zero()
           .with("strategy", {"hybrid_shard"}),
       shard.key("reduce_dtype", &ShardSettings::reduce_dtype, choice<Precision>({{Precision::fp32, "fp32"}}),
                 "Type of gradient sums over ranks"),
       shard.key("offload", &ShardSettings::offload, offload,
                 "Keep in host memory instead of device memory: nothing; master weights, moments and gradients "
                 "(optimizer); these and the compute weights (params)"),
       shard.key("adapter_strategy", &ShardSettings::adapter_strategy,
                 choice<AdapterStrategy>({{AdapterStrategy::automatic, "auto"},
                                          {AdapterStrategy::replicated, "replicated"},
                                          {AdapterStrategy::sharded, "sharded"}}),
                 "replicated: every rank holds the whole adapter, and its gradients are summed once per update. "
                 "sharded: it is split as the base is. auto: replicated below 256 MB in fp32")}};
}

Section checkpoint_section() {
  const Of<CheckpointSettings> checkpoint{&Job::checkpoint};
  const auto when = choice<Export>({{Export::final_only, "final"}, {Export::every, "every"}, {Export::never, "never"}});
  const auto precision = choice<Precision>({{Precision::bf16, "bf16"}, {Precision::fp32, "fp32"}});
  const auto final_dir = [](const Target& target) { return (target.job.job.output_dir / "final").string(); };
  return {
      "checkpoint",
      "Saving, resuming and exporting.",
      false,
      {checkpoint.key("save_steps", &CheckpointSettings::save_steps, whole_number(0, most::steps),
                      "Updates between checkpoints. 0: save only at the end"),
       checkpoint.key("save_total_limit", &CheckpointSettings::save_total_limit, whole_number(0, most::steps),
                      "Checkpoints to keep. Older ones are deleted. 0: keep all"),
       checkpoint.key(
           "resume", &CheckpointSettings::resume, word_or_path({"auto", "never"}),
           "auto: resume from the latest checkpoint in output_dir, if there is one. never: start from the beginning. "
           "A path: resume from this checkpoint directory"),
       checkpoint.key("async", &CheckpointSettings::async, boolean(),
                      "Write checkpoints on a thread while training continues"),
       checkpoint.key("export", &CheckpointSettings::export_when, when,
                      "When to export a Hugging Face directory: at the end, with every checkpoint, or never"),
       checkpoint.key("export_dir", &CheckpointSettings::export_dir, path(), "Directory of the export")
           .filled("output_dir/final", final_dir),
       checkpoint.key("export_dtype", &CheckpointSettings::export_dtype, precision, "Type of the exported weights"),
       checkpoint.key("export_adapter", &CheckpointSettings::export_adapter,
                      choice<AdapterExport>({{AdapterExport::adapter, "adapter"}, {AdapterExport::merged, "merged"}}),
                      "Of a job with an adapter: export it for PEFT, in fp32, or merged into its base as a model"),
       checkpoint
           .key("merge_dequantized", &CheckpointSettings::merge_dequantized, boolean(),
                "Merge into the base as it is trained, through quantization and back, not into the original weights")
           .with("export_adapter", {"merged"}),
       checkpoint.key("max_shard_bytes", &CheckpointSettings::max_shard_bytes, byte_size(1'000'000'000'000'000),
                      "Maximum size of one exported safetensors file")}};
}

Section eval_section() {
  const Of<EvalSettings> eval{&Job::eval};
  return {"eval",
          "Evaluation on the [eval_dataset.NAME] sections, or on the samples held out by val_set_size.",
          false,
          {eval.key("eval_steps", &EvalSettings::eval_steps, whole_number(0, most::steps),
                    "Updates between evaluations. 0: evaluate only before the first and after the last update"),
           eval.key("max_samples", &EvalSettings::max_samples, whole_number(0, most::samples),
                    "Maximum samples per evaluation. 0: all")}};
}

Section log_section() {
  const Of<LogSettings> log{&Job::log};
  return {
      "log",
      "Logging. output_dir/metrics.jsonl records every step regardless of these keys.",
      false,
      {log.key("logging_steps", &LogSettings::logging_steps, whole_number(1, most::steps), "Updates between log lines"),
       log.key("tensorboard", &LogSettings::tensorboard, boolean(), "Write event files for TensorBoard"),
       log.key("profile", &LogSettings::profile, boolean(),
               "Report seconds per phase, in a table and in metrics.jsonl"),
       log.key("trace", &LogSettings::trace, path(),
               "File for a Chrome trace of compute, gather, reduce and copy on every rank")}};
}

Section generate_section() {
  const Of<GenerateSettings> generate{&Job::generate};
  return {
      "generate",
      "Settings of the verb `generate`.",
      false,
      {generate.key("prompt", &GenerateSettings::prompt, text_or_file(), "Prompt, or a file with one prompt per line"),
       generate
           .key("chat", &GenerateSettings::chat, maybe(),
                "Treat each prompt as a user message and apply the chat template")
           .by_default("true if a template is known"),
       generate.key("max_new_tokens", &GenerateSettings::max_new_tokens, whole_number(1, most::tokens),
                    "Maximum tokens to generate per prompt"),
       generate.key("temperature", &GenerateSettings::temperature, number(at_least(0).up_to(1000)),
                    "Sampling temperature. 0: greedy"),
       generate.key("top_p", &GenerateSettings::top_p, number(above(0).up_to(1)),
                    "Sample from the most likely tokens up to this total probability")}};
}

Section device_section() {
  const Of<DeviceSettings> device{&Job::device};
  const auto types =
      choice<DeviceType>({{DeviceType::auto_, "auto"}, {DeviceType::cpu, "cpu"}, {DeviceType::cuda, "cuda"}});
  return {"device",
          "The compute device.",
          false,
          {device.key("type", &DeviceSettings::type, types, "auto: cuda if every rank has a GPU, else cpu"),
           device.key("threads", &DeviceSettings::threads, whole_number(0, most::threads),
                      "Compute threads per rank. 0: the rank's share of the host's cores"),
           device.key("share", &DeviceSettings::share, boolean(),
                      "Allow ranks of a host to share a GPU. They then communicate through host memory. For tests"),
           device.key("deterministic", &DeviceSettings::deterministic, boolean(),
                      "On GPUs: the same job gives bit-identical results. false allows cuDNN's faster attention "
                      "backward, whose sums depend on timing")}};
}

Section plan_section() {
  const Of<PlanSettings> plan{&Job::plan};
  const auto devices = choice<DeviceType>({{DeviceType::cpu, "cpu"}, {DeviceType::cuda, "cuda"}});
  return {"plan",
          "Settings of the verb `plan`.",
          false,
          {plan.key("ranks", &PlanSettings::ranks, whole_number(1, most::ranks), "Ranks of the planned job"),
           plan.key("ranks_per_host", &PlanSettings::ranks_per_host, whole_number(0, most::ranks),
                    "Ranks on each host, a divisor of ranks. 0: all on one host"),
           plan.key("device", &PlanSettings::device, devices, "Device whose memory is planned"),
           plan.key("flops", &PlanSettings::flops, number(at_least(0).up_to(1e21)),
                    "FLOP/s that a rank reaches, for the expected time. 0: a CPU is measured, a GPU has none"),
           plan.key("bandwidth", &PlanSettings::bandwidth, number(at_least(0).up_to(1e15)),
                    "Bytes per second that a host sends to other hosts, for the expected time. 0: none")}};
}

Section network_section() {
  const Of<NetworkSettings> network{&Job::network};
  return {
      "network",
      "Communication between ranks.",
      false,
      {network.key("interface", &NetworkSettings::interface, words(),
                   "Network interface between hosts, such as eth1. Empty: any interface that reaches the other hosts"),
       network.key("timeout_seconds", &NetworkSettings::timeout_seconds, number(above(0).up_to(1e9)),
                   "Seconds to wait for a stalled rank before the job names it and exits with status 3. During "
                   "start-up at least 60"),
       network.key("nccl_max_ctas", &NetworkSettings::nccl_max_ctas, whole_number(0, most::ctas),
                   "Maximum CTAs that an NCCL collective takes from the GPU's matrix products, at least one per "
                   "network card. 0: NCCL's choice between hosts, 8 within a host")}};
}

}  // namespace

const std::vector<Section>& sections() {
  static const std::vector<Section> all = {
      job_section(),
      model_section(),
      data_section(),
      dataset_section("dataset", "A training data set. One section each; NAME is free to choose."),
      dataset_section("eval_dataset", "A data set for evaluation only. Excludes val_set_size."),
      train_section(),
      adapter_section(),
      shard_section(),
      checkpoint_section(),
      eval_section(),
      log_section(),
      generate_section(),
      device_section(),
      network_section(),
      plan_section()};
  return all;
}

std::string default_words_of(const Field& field) {
  Job untouched;
  DatasetSettings untouched_dataset;
  return field.write({untouched, &untouched_dataset});
}

const Field* Section::find(const std::string& key) const {
  const auto found = std::find_if(fields.begin(), fields.end(), [&](const Field& field) { return field.key == key; });
  return found == fields.end() ? nullptr : &*found;
}

const Field& Section::at(const std::string& key) const {
  if (const Field* field = find(key)) return *field;
  throw std::logic_error("no field " + key + " in section " + name);
}

std::string heading(const Section& section) {
  return section.repeated ? "[" + section.name + ".NAME]" : "[" + section.name + "]";
}

bool holds(const Condition& condition, const Section& section, const Target& target) {
  const std::string current = section.at(condition.key).write(target);
  return std::find(condition.values.begin(), condition.values.end(), current) != condition.values.end();
}

const Condition* unmet(const Field& field, const Section& section, const Target& target) {
  for (const Condition& condition : field.only_with)
    if (!holds(condition, section, target)) return &condition;
  return nullptr;
}

}  // namespace tessera
