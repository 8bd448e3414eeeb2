#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "job/dataset_types.h"

/// The job room: one typed struct a section of job.ini, the default beside the name.  The parser, `--help`, the
/// reference table in docs/job.md and the resolved job are all made from one description of these fields (fields.cpp).
namespace tessera {

using Path = std::filesystem::path;

struct JobSettings {
  Path output_dir;    // directory for all output of the job (required)
  int64_t seed = 42;  // of the sample order, the split, and random weights
};

enum class Init { pretrained, random };
enum class Checkpointing { none, selective, full };
enum class Precision { bf16, fp32 };
enum class Quantization { none, nf4, int8 };
struct ModelSettings {
  Path base;                                                   // Hugging Face directory (required)
  Init init = Init::pretrained;                                // random: weights from base's config.json alone
  Path tokenizer;                                              // directory of tokenizer.json (default: base)
  Checkpointing gradient_checkpointing = Checkpointing::full;  // what is recomputed in the backward pass
  Precision precision = Precision::bf16;                       // of weights and activations in compute
  Quantization quantization = Quantization::none;              // of an adapter's frozen base
  bool double_quantization = true;                             // nf4: absmax in 8 bits
};

enum class Overlong { by_type, drop, truncate, split };
enum class TextUnit { line, file };
enum class OnError { stop, skip };
struct DataSettings {
  int64_t sequence_len = 2048;            // tokens of a sequence at most, packed or not
  bool sample_packing = true;             // several samples in a sequence, each attending to itself only
  bool shuffle = true;                    // false keeps file order
  bool train_on_inputs = false;           // the prompt carries loss too
  double val_set_size = 0;                // a fraction below 1, else a number of samples
  Path prepared_path;                     // default: output_dir/prepared
  Overlong overlong = Overlong::by_type;  // samples above sequence_len; by_type: completion is split, else dropped
  bool deduplicate = false;               // samples with the same tokens and labels, but for the first
  OnError on_error = OnError::stop;       // a record that cannot be read
  int64_t workers = 0;                    // tokenising threads; 0: the cores of the host
  int64_t max_record_bytes = 1 << 26;     // of one JSON record, unpacked: a longer one is an error
};

enum class TrainOnEos { turn, last, none, all };
struct DatasetSettings {
  std::string name;                    // of the section, dataset.NAME
  std::string path;                    // file, directory or glob (required)
  const DatasetType* type = nullptr;   // (required)
  int64_t repeat = 1;                  // times per epoch
  int64_t limit = 0;                   // the first N samples; 0: all
  int64_t shards = 1, shards_idx = 0;  // of every `shards` samples the one of that number
  std::optional<Overlong> overlong;    // instead of [data] overlong
  TextUnit document = TextUnit::line;  // completion: of a .txt file
  std::string field = "text";          // completion: key of the text
  // Keys of a record with an instruction; empty: the type's own.
  std::string field_system, field_instruction, field_input, field_output;
  std::string format = "{instruction} {input} ";  // user_defined, as the two below
  std::string no_input_format = "{instruction} ";
  std::string system_format = "{system}";
  std::string field_messages;         // chat_template ("messages", or "conversations" where that is present)
  std::string message_field_role;     // chat_template ("role"; "from")
  std::string message_field_content;  // chat_template ("content"; "value")
  std::string message_field_training = "training";  // chat_template
  std::string chat_template = "tokenizer_default";  // or chatml, llama3, llama2, mistral; the default recognises it
  std::string system_prompt;                        // used where a sample has none
  std::vector<std::string> roles_to_train = {"assistant"};  // chat_template
  TrainOnEos train_on_eos = TrainOnEos::turn;               // which end-of-turn tokens carry loss
};

enum class Scheduler {
  linear,
  cosine,
  constant,
  constant_with_warmup,
  cosine_with_min_lr,
  inverse_sqrt,
  warmup_stable_decay
};
enum class OptimizerName { adamw, adamw_8bit };
struct TrainSettings {
  double num_epochs = 1;
  int64_t max_steps = 0;         // above 0: instead of num_epochs
  int64_t micro_batch_size = 1;  // sequences a rank computes at once
  int64_t gradient_accumulation_steps = 1;
  int64_t global_batch_size = 0;  // sequences an update, on any number of ranks; instead of the line above
  double learning_rate = 2e-5;
  Scheduler lr_scheduler = Scheduler::cosine;
  int64_t warmup_steps = 0;
  double warmup_ratio = 0;             // of all steps, where warmup_steps is 0
  double min_lr_rate = 0;              // cosine_with_min_lr, warmup_stable_decay: the floor over learning_rate
  double num_cycles = 0.5;             // cosine: waves
  int64_t num_stable_steps = 0;        // warmup_stable_decay
  int64_t num_decay_steps = 0;         // warmup_stable_decay
  int64_t inverse_sqrt_timescale = 0;  // inverse_sqrt; 0: warmup_steps, or 10000
  OptimizerName optimizer = OptimizerName::adamw;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;
  double adam_epsilon = 1e-8;
  double weight_decay = 0;   // on every tensor but norm weights and biases
  double max_grad_norm = 1;  // 0: no clipping
};

enum class AdapterType { none, lora };
enum class LoraInit { uniform, gaussian };
/// What is left out comes from base_adapter, where there is one.
struct AdapterSettings {
  AdapterType type = AdapterType::none;
  std::optional<int64_t> lora_r;                            // rank
  std::optional<double> lora_alpha;                         // scale: alpha / r
  std::optional<double> lora_dropout;                       // rate, on what the adapter reads
  std::optional<bool> use_rslora;                           // scale: alpha / sqrt(r)
  std::optional<bool> use_dora;                             // the length of each row of W + BA is trained apart
  std::optional<std::string> target_modules;                // all-linear, a list, or an expression
  std::optional<std::string> exclude_modules;               // a list, or an expression
  std::optional<std::vector<int64_t>> layers_to_transform;  // their numbers from 0
  std::optional<std::vector<std::string>> modules_to_save;  // trained whole, beside the adapter
  double loraplus_lr_ratio = 1;                             // lora_B's learning rate over lora_A's
  LoraInit init_lora_weights = LoraInit::uniform;
  Path base_adapter;  // PEFT directory to go on from
};

enum class Strategy { full_shard, shard_grad_op, no_shard, hybrid_shard };
enum class BackwardPrefetch { backward_pre, backward_post, none };
enum class Offload { none, optimizer, params };
enum class AdapterStrategy { automatic, replicated, sharded };
struct ShardSettings {
  Strategy strategy = Strategy::full_shard;  // what is split over the ranks
  BackwardPrefetch backward_prefetch = BackwardPrefetch::backward_pre;
  bool forward_prefetch = true;
  bool limit_all_gathers = true;             // at most two units gathered ahead
  int64_t group_size = 0;                    // hybrid_shard: ranks of a shard group; 0: the ranks of one host
  Precision reduce_dtype = Precision::fp32;  // of gradients and their sums over ranks
  Offload offload = Offload::none;
  AdapterStrategy adapter_strategy = AdapterStrategy::automatic;  // replicated: every rank holds all of an adapter
};

enum class Export { final_only, every, never };  // written final, every, never
enum class AdapterExport { adapter, merged };
struct CheckpointSettings {
  int64_t save_steps = 0;                   // 0: only at the end
  int64_t save_total_limit = 0;             // 0: keep all
  std::string resume = "auto";              // auto, never, or a checkpoint directory
  bool async = true;                        // write on a thread beside training
  Export export_when = Export::final_only;  // key `export`
  Path export_dir;                          // default: output_dir/final
  Precision export_dtype = Precision::bf16;
  int64_t max_shard_bytes = 5'000'000'000;                // "5 GB", "300 MB" or a number
  bool merge_dequantized = false;                         // of a quantised base what it is trained with is merged
  AdapterExport export_adapter = AdapterExport::adapter;  // the adapter alone, or a model that contains it
};

struct EvalSettings {
  int64_t eval_steps = 0;   // 0: only before the first and after the last step
  int64_t max_samples = 0;  // 0: all
};

struct LogSettings {
  int64_t logging_steps = 1;  // lines on the terminal; metrics.jsonl has every step
  bool tensorboard = true;
  bool profile = false;  // seconds per phase, as table and in metrics
  Path trace;            // Chrome trace file
};

struct GenerateSettings {
  std::string prompt;        // the text, or the path of a file with a prompt a line
  std::optional<bool> chat;  // default: true where a template is known
  int64_t max_new_tokens = 256;
  double temperature = 0;  // 0: greedy
  double top_p = 1;
};

enum class DeviceType { auto_, cpu, cuda };  // written auto, cpu, cuda
struct DeviceSettings {
  DeviceType type = DeviceType::auto_;  // auto: cuda when every rank has one, else cpu
  int64_t threads = 0;                  // a rank's compute threads; 0: cores / local ranks
  bool share = false;                   // ranks of a host may share a GPU
  bool deterministic = true;            // of a GPU: no kernel whose sums depend on timing
};

struct NetworkSettings {
  std::string interface;
  double timeout_seconds = 300;
  int64_t nccl_max_ctas = 0;  // of a collective; 0: NCCL's choice between hosts, 8 inside one
};

/// Of the verb plan, which starts no ranks.
struct PlanSettings {
  int64_t ranks = 1;
  int64_t ranks_per_host = 0;           // 0: all on one host
  DeviceType device = DeviceType::cpu;  // cpu or cuda
  double flops = 0;                     // FLOP/s that a rank reaches; 0: measured on a CPU, no time on a GPU
  double bandwidth = 0;                 // bytes/s that a host sends to others; 0: no time for it
};

struct Job {
  Path file;  // the job file itself
  JobSettings job;
  ModelSettings model;
  DataSettings data;
  std::vector<DatasetSettings> datasets;  // in file order
  std::vector<DatasetSettings> eval_datasets;
  TrainSettings train;
  AdapterSettings adapter;
  ShardSettings shard;
  CheckpointSettings checkpoint;
  EvalSettings eval;
  LogSettings log;
  GenerateSettings generate;
  DeviceSettings device;
  NetworkSettings network;
  PlanSettings plan;
  /// "[section] key" of each value, paths apart, that names an environment variable → the value as written, so that a
  /// secret stays in the environment.
  std::map<std::string, std::string> from_environment;
};

/// Reads a job file: comments, ${ENV}, `overrides` ("section.key=value") on top, defaults, ranges, cross-checks.
/// Relative paths become absolute from the job file's folder (overrides: from the current one).  Throws JobError
/// "FILE:LINE: [section] key: what is wrong; what was expected".
Job parse_job(const Path& file, const std::vector<std::string>& overrides);

/// The same for a text, as if it stood in `file`.
Job parse_job_text(const std::string& text, const Path& file);

/// The job with every default filled in, as text that parse_job reads to the same Job.  A value that names environment
/// variables appears as written (`${NAME}`), a path expanded.
std::string resolved_text(const Job& job);

/// Throws JobError, naming section and key, if the resolved text cannot express the job: a path that is not UTF-8, a
/// data set whose name contains a ].
void require_resolvable(const Job& job);

/// The settings in which a resumed job differs from the job with this resolved text: "[train] learning_rate: 2e-05, now
/// 1e-05". Only settings that affect the curve: output and computation settings do not count. Values that name
/// environment variables are compared as written. A text that does not parse yields one line that says so, since a
/// checkpoint's copy of a job serves only this comparison.
std::vector<std::string> changed_settings(const std::string& resolved_before, const Job& now);

/// All sections and keys with default, range and meaning: for --help and docs/job.md.
std::string describe_keys();           // plain text
std::string describe_keys_markdown();  // the table of docs/job.md

}  // namespace tessera
