#include "job/fields.h"

#include <algorithm>
#include <stdexcept>

#include "job/field_builder.h"

namespace tessera {
namespace {

Section job_section() {
  const Of<JobSettings> job{&Job::job};
  return {"job",
          "Where the job writes, and the one seed.",
          false,
          {job.key("output_dir", &JobSettings::output_dir, path(), "directory for everything that the job writes")
               .must_be_given(),
           job.key("seed", &JobSettings::seed, whole_number(0, int64_t{1} << 53),
                   "of the sample order, the validation split and random weights")}};
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
                "Hugging Face directory: config.json, *.safetensors or their index, tokenizer.json")
           .must_be_given(),
       model.key("init", &ModelSettings::init, init,
                 "pretrained weights, or random ones from base's config.json alone"),
       model.key("tokenizer", &ModelSettings::tokenizer, path(), "directory of tokenizer.json")
           .filled("base", [](const Target& target) { return target.job.model.base.string(); }),
       model.key("gradient_checkpointing", &ModelSettings::gradient_checkpointing, checkpointing,
                 "what is computed again in the backward pass instead of kept: SwiGLU, which its gradient "
                 "gives in passing; norms too; all but a layer's input and what its attention gave"),
       model.key("precision", &ModelSettings::precision, precision,
                 "of weights and activations in compute; master weights, moments and gradient sums are fp32 always")}};
}

Section data_section() {
  const Of<DataSettings> data{&Job::data};
  const auto overlong =
      choice<Overlong>({{Overlong::drop, "drop"}, {Overlong::truncate, "truncate"}, {Overlong::split, "split"}});
  const auto on_error = choice<OnError>({{OnError::stop, "stop"}, {OnError::skip, "skip"}});
  const auto prepared = [](const Target& target) { return (target.job.job.output_dir / "prepared").string(); };
  return {"data",
          "How the data sets become sequences of tokens.",
          false,
          {data.key("sequence_len", &DataSettings::sequence_len, whole_number(2, most::tokens),
                    "tokens of a sequence at most, packed or not"),
           data.key("sample_packing", &DataSettings::sample_packing, boolean(),
                    "several samples in a sequence, each attending to itself only"),
           data.key("shuffle", &DataSettings::shuffle, boolean(), "a new order each epoch; false keeps file order"),
           data.key("train_on_inputs", &DataSettings::train_on_inputs, boolean(), "prompts carry loss too"),
           data.key("val_set_size", &DataSettings::val_set_size, fraction_or_count(most::samples),
                    "samples held out for evaluation: a fraction below 1, else their number"),
           data.key("prepared_path", &DataSettings::prepared_path, path(), "directory of the prepared files")
               .filled("output_dir/prepared", prepared),
           data.key("overlong", &DataSettings::overlong, overlong, "what happens to samples above sequence_len"),
           data.key("on_error", &DataSettings::on_error, on_error, "what a broken line does"),
           data.key("max_record_bytes", &DataSettings::max_record_bytes, byte_size(most::record_bytes),
                    "of one JSON record, unpacked: a longer one is an error"),
           data.key("workers", &DataSettings::workers, whole_number(0, most::threads),
                    "tokenising threads; 0: the cores of the host")
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
  return {"shard",
          "What is split over the ranks, and when it is gathered.",
          false,
          {shard.key("strategy", &ShardSettings::strategy, strategy,
                     "split weights, gradients and moments; all but the weights; nothing; or inside groups of ranks"),
           shard.key("backward_prefetch", &ShardSettings::backward_prefetch, prefetch,
                     "gather the next unit before this one's backward pass, after it, or when it is needed"),
           shard.key("forward_prefetch", &ShardSettings::forward_prefetch, boolean(),
                     "gather the next unit while this one computes"),
           shard.key("limit_all_gathers", &ShardSettings::limit_all_gathers, boolean(),
                     "at most two units gathered ahead: bounds memory"),
           shard
               .key("group_size", &ShardSettings::group_size, whole_number(0, most::ranks),
                    "ranks of a shard group; 0: the ranks of one host")
               .off_at_zero()
               .with("strategy", {"hybrid_shard"}),
           shard.key("reduce_dtype", &ShardSettings::reduce_dtype, choice<ReduceDtype>({{ReduceDtype::fp32, "fp32"}}),
                     "of the gradient sums over ranks"),
           shard.key("offload", &ShardSettings::offload, offload,
                     "what lies in host memory and not the device's: master weights, moments and gradients; params: "
                     "all weights")}};
}

Section checkpoint_section() {
  const Of<CheckpointSettings> checkpoint{&Job::checkpoint};
  const auto when = choice<Export>({{Export::final_only, "final"}, {Export::every, "every"}, {Export::never, "never"}});
  const auto precision = choice<Precision>({{Precision::bf16, "bf16"}, {Precision::fp32, "fp32"}});
  const auto final_dir = [](const Target& target) { return (target.job.job.output_dir / "final").string(); };
  return {"checkpoint",
          "Saving, resuming, and the Hugging Face directory at the end.",
          false,
          {checkpoint.key("save_steps", &CheckpointSettings::save_steps, whole_number(0, most::steps),
                          "updates between checkpoints; 0: only at the end"),
           checkpoint.key("save_total_limit", &CheckpointSettings::save_total_limit, whole_number(0, most::steps),
                          "older checkpoints beyond so many are deleted; 0: keep all"),
           checkpoint.key("resume", &CheckpointSettings::resume, word_or_path({"auto", "never"}),
                          "the latest where there is one, never, or this checkpoint directory"),
           checkpoint.key("async", &CheckpointSettings::async, boolean(), "write on a thread beside training"),
           checkpoint.key("export", &CheckpointSettings::export_when, when,
                          "when a Hugging Face directory is written: at the end, with every checkpoint, never"),
           checkpoint.key("export_dir", &CheckpointSettings::export_dir, path(), "that directory")
               .filled("output_dir/final", final_dir),
           checkpoint.key("export_dtype", &CheckpointSettings::export_dtype, precision, "of its weights"),
           checkpoint.key("max_shard_bytes", &CheckpointSettings::max_shard_bytes, byte_size(1'000'000'000'000'000),
                          "of one of its safetensors files")}};
}

Section eval_section() {
  const Of<EvalSettings> eval{&Job::eval};
  return {"eval",
          "The loss on [eval_dataset.NAME] or on the samples that val_set_size holds out.",
          false,
          {eval.key("eval_steps", &EvalSettings::eval_steps, whole_number(0, most::steps),
                    "updates between evaluations; 0: only before the first and after the last"),
           eval.key("max_samples", &EvalSettings::max_samples, whole_number(0, most::samples),
                    "samples of an evaluation; 0: all")}};
}

Section log_section() {
  const Of<LogSettings> log{&Job::log};
  return {
      "log",
      "What a run tells.  output_dir/metrics.jsonl has every step whatever is set here.",
      false,
      {log.key("logging_steps", &LogSettings::logging_steps, whole_number(1, most::steps),
               "updates between lines on the terminal"),
       log.key("tensorboard", &LogSettings::tensorboard, boolean(), "event files for TensorBoard"),
       log.key("profile", &LogSettings::profile, boolean(), "seconds per phase, as a table and in the metrics"),
       log.key("trace", &LogSettings::trace, path(), "file for a Chrome trace of compute, gather, reduce and copy")}};
}

Section generate_section() {
  const Of<GenerateSettings> generate{&Job::generate};
  return {"generate",
          "The verb `generate`: text from a model directory or a checkpoint.",
          false,
          {generate.key("prompt", &GenerateSettings::prompt, text_or_file(), "the prompt, or a file with one a line"),
           generate.key("chat", &GenerateSettings::chat, maybe(), "prompts are messages of a conversation")
               .by_default("true where a template is known"),
           generate.key("max_new_tokens", &GenerateSettings::max_new_tokens, whole_number(1, most::tokens),
                        "tokens written at most"),
           generate.key("temperature", &GenerateSettings::temperature, number(at_least(0).up_to(1000)),
                        "0: the likeliest token"),
           generate.key("top_p", &GenerateSettings::top_p, number(above(0).up_to(1)),
                        "sample among the likeliest tokens of this total probability")}};
}

Section device_section() {
  const Of<DeviceSettings> device{&Job::device};
  const auto types =
      choice<DeviceType>({{DeviceType::auto_, "auto"}, {DeviceType::cpu, "cpu"}, {DeviceType::cuda, "cuda"}});
  return {"device",
          "What computes.",
          false,
          {device.key("type", &DeviceSettings::type, types, "auto: cuda when every rank has one, else cpu"),
           device.key("threads", &DeviceSettings::threads, whole_number(0, most::threads),
                      "a rank's compute threads; 0: cores over the ranks of the host"),
           device.key("share", &DeviceSettings::share, boolean(),
                      "ranks of a host may share a GPU, and then send through host memory: for tests"),
           device.key("deterministic", &DeviceSettings::deterministic, boolean(),
                      "on GPUs: the same job gives the same bits again; false allows cuDNN's faster backward pass of "
                      "attention, whose sums depend on timing")}};
}

Section network_section() {
  const Of<NetworkSettings> network{&Job::network};
  return {"network",
          "How ranks reach each other.",
          false,
          {network.key("interface", &NetworkSettings::interface, words(),
                       "the interface for messages between hosts, as eth1; empty: what reaches the other hosts"),
           network.key("timeout_seconds", &NetworkSettings::timeout_seconds, number(above(0).up_to(1e9)),
                       "how long a rank may be late before the job names it and stops; at the start at least 60"),
           network.key("nccl_max_ctas", &NetworkSettings::nccl_max_ctas, whole_number(0, most::ctas),
                       "CTAs that a collective of NCCL takes from a GPU's products at most, one a network card at "
                       "least; 0: NCCL's choice between hosts, 8 inside one")}};
}

}  // namespace

const std::vector<Section>& sections() {
  static const std::vector<Section> all = {
      job_section(),
      model_section(),
      data_section(),
      dataset_section("dataset", "One section a data set to train on, NAME being free."),
      dataset_section("eval_dataset", "The same for evaluation only; with it val_set_size stays 0."),
      train_section(),
      shard_section(),
      checkpoint_section(),
      eval_section(),
      log_section(),
      generate_section(),
      device_section(),
      network_section()};
  return all;
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
