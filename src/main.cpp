#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "cluster/agree.h"
#include "cluster/cluster.h"
#include "cluster/launch.h"
#include "cluster/start_up.h"
#include "data/inspect.h"
#include "device/gpu_library.h"
#include "device/waiting_threads.h"
#include "generate/generate.h"
#include "job/job.h"
#include "text/tokenize_lines.h"
#include "trainer/compute_device.h"
#include "trainer/evaluation.h"
#include "trainer/job_choices.h"
#include "trainer/trainer.h"
#include "trainer/weights.h"

/// The command: verbs, and the only place besides cluster/last_words.h that turns an error into an exit code or
/// MPI_Abort.
namespace tessera {
namespace {

struct Command {
  std::string verb = "run";
  std::vector<std::string> arguments;  // job file and overrides; for tokenize the directory
  bool special = false;
};

constexpr std::array<const char*, 9> verbs = {"run",  "preprocess", "export",   "inspect", "check",
                                              "plan", "evaluate",   "generate", "tokenize"};

const char* const usage = R"(train [verb] job.ini [section.key=value ...]

  run         prepare the data if needed, train, save and export (the default)
  preprocess  tokenise and mask the data, write the prepared file, print statistics
  evaluate    print the loss on the evaluation sets, without training
  generate    answer generate.prompt with the latest checkpoint, or with the base model
  export      write the latest checkpoint, or checkpoint.resume, as a Hugging Face directory
  inspect     show the first samples with their loss mask, and describe the latest checkpoint
  tokenize    train tokenize DIR: read JSON strings from standard input, write ids and offsets

  On several hosts: mpirun -hostfile hosts ./train job.ini)";

std::string version() {
  return fmt::format("tessera {}\nparts: CPU ranks (oneDNN, Highway), MPI; GPUs (CUDA, cuBLASLt, cuDNN, NCCL): {}",
                     TESSERA_VERSION, GpuLibrary::is_there() ? "in" : "not in this build");
}

bool runs_alone(const Command& command) { return command.verb == "export" || command.verb == "inspect"; }
bool prepares_data(const Command& command) { return command.verb != "export" && command.verb != "generate"; }

/// The job, read before MPI starts, which needs the network interface. An error is kept until every rank can agree on
/// it.
struct ReadJob {
  Job job;
  ClusterSettings cluster;
  std::exception_ptr error;
};

ReadJob read_job(const Command& command) {
  if (command.verb == "tokenize" || command.verb == "check" || command.verb == "plan") return {};
  ReadJob read;
  try {
    if (command.arguments.empty()) throw JobError("no job file given; see train --help");
    read.job = parse_job(command.arguments.front(),
                         std::vector<std::string>(command.arguments.begin() + 1, command.arguments.end()));
    if (prepares_data(command)) require_resolvable(read.job);
    read.cluster.timeout_seconds = read.job.network.timeout_seconds;
    if (!runs_alone(command)) read.cluster.interface = read.job.network.interface;
  } catch (const std::exception&) {
    read.error = std::current_exception();
  }
  return read;
}

void preprocess(const Job& job, Cluster& cluster) {
  ModelSpec spec;
  agree(cluster.world(), "reading the model's configuration", [&] { spec = load_model(job.model.base); });
  const PreparedFile file = prepare_on_cluster(job, cluster, spec.V);
  log::info("{}\n{}{}", file.summary, file.path.string(), file.reused ? " (reused)" : "");
}

void evaluate(const Job& job, Cluster& cluster) {
  Session session(job, cluster);
  Evaluation evaluation(session);
  const bool empty = evaluation.empty();
  agree(
      session.world(), "reading the weights",
      [&] {
        if (empty) throw JobError("there is no evaluation data; set [data] val_set_size or add an [eval_dataset.NAME]");
        const auto checkpoint = chosen_checkpoint(job);
        const bool random = !checkpoint && job.model.init == Init::random;
        if (session.is_first())
          log::info("weights: {}", random       ? "random (model.init)"
                                   : checkpoint ? checkpoint->string()
                                                : job.model.base.string());
        if (checkpoint)
          load_checkpoint(session.model(), CheckpointReader(*checkpoint));
        else
          load_initial_weights(session.model(), job, compute_threads(job, cluster));
        session.model().synchronize();
      },
      Patience::unlimited);
  const EvaluationResult result = evaluation.run();
  log::info("evaluation loss {:.6f} over {} tokens", result.loss, result.tokens);
}

void export_model(const Job& job) {
  const auto checkpoint = chosen_checkpoint(job);
  if (!checkpoint) throw DataError("{}: no complete checkpoint to export", job.job.output_dir.string());
  export_checkpoint(CheckpointReader(*checkpoint), export_settings(job));
  log::info("exported {} to {}", checkpoint->string(), job.checkpoint.export_dir.string());
}

void inspect(const Job& job, Cluster& cluster) {
  const ModelSpec spec = load_model(job.model.base);
  const PreparedFile file = prepare_on_cluster(job, cluster, spec.V);
  const auto tokenizer = load_tokenizer(job, spec.V);
  const PreparedSet set(file.path, "train");
  log::info("{}\n{}", file.summary, describe_samples(set, tokenizer ? &*tokenizer : nullptr, 4, ::isatty(1) != 0));
  if (const auto checkpoint = chosen_checkpoint(job)) log::info("{}", describe_checkpoint(*checkpoint));
}

/// `trainer`: receives the trainer, if the verb needs one.
ExitCode run_verb(const Command& command, const ReadJob& read, Cluster& cluster, std::unique_ptr<Trainer>& trainer) {
  if (command.verb == "tokenize") {
    if (command.arguments.size() != 1)
      throw JobError("train tokenize DIR: expected one directory with a tokenizer.json");
    tokenize_lines(Tokenizer::load(command.arguments.front()), std::cin, std::cout,
                   command.special ? SpecialTokens::add : SpecialTokens::leave_out);
    return ExitCode::done;
  }
  if (command.verb == "check" || command.verb == "plan") throw JobError("train {}: not in this build", command.verb);

  agree(cluster.world(), "reading the job", [&] {
    if (read.error) std::rethrow_exception(read.error);
    if (runs_alone(command) && cluster.size() > 1) throw JobError("train {}: run it without mpirun", command.verb);
  });
  const Job& job = read.job;
  if (const std::string network = cluster.describe_network(); !network.empty()) log::info("network: {}", network);
  if (command.verb == "preprocess") preprocess(job, cluster);
  if (command.verb == "evaluate") evaluate(job, cluster);
  if (command.verb == "generate") generate(job, cluster);
  if (command.verb == "export") export_model(job);
  if (command.verb == "inspect") inspect(job, cluster);
  if (command.verb != "run") return ExitCode::done;
  if (any_rank(cluster.world(), "the ranks' stop signals", signals::stop_requested())) {
    log::info("stopped by a signal before the start; run the same command again");
    return ExitCode::asked_to_stop;
  }
  trainer = std::make_unique<Trainer>(job, cluster);
  return trainer->run();
}

/// Prints the error and returns the exit code; with several ranks ends all of them at once, since only this one may
/// know of it.
int fail(Cluster& cluster, int code, const std::string& message) {
  log::error("{}", message);
  if (cluster.size() > 1) cluster.abort(code);
  return code;
}

int run_on_cluster(const Command& command, const ReadJob& read, Cluster& cluster) {
  log::set_up(cluster.prefix(), cluster.rank() == 0);
  // Outlives the handlers: an error is printed before its streams are waited for, which may take long or fail too.
  std::unique_ptr<Trainer> trainer;
  try {
    return static_cast<int>(run_verb(command, read, cluster, trainer));
  } catch (const FailedElsewhere& e) {
    return static_cast<int>(e.code());
  } catch (const Error& e) {
    return fail(cluster, static_cast<int>(e.code()), e.what());
  } catch (const std::bad_alloc&) {
    return fail(cluster, static_cast<int>(ExitCode::cluster_failed),
                "out of host memory; try gradient_checkpointing = full, micro_batch_size = 1, or more ranks");
  } catch (const std::filesystem::filesystem_error& e) {  // such as a folder without permission
    return fail(cluster, static_cast<int>(ExitCode::bad_data), e.what());
  } catch (const std::exception& e) {
    return fail(cluster, 1, std::string("internal error: ") + e.what());
  }
}

int start(const Command& command, int argc, char** argv) {
  log::set_up(prefix_before_mpi(), launched_rank() == 0);
  auto watch = std::make_unique<StartUpWatch>();
  const ReadJob read = read_job(command);
  watch->allow(read.cluster.timeout_seconds);
  std::unique_ptr<Cluster> cluster;
  try {
    cluster = std::make_unique<Cluster>(&argc, &argv, read.cluster, watch.get());
  } catch (const FailedElsewhere& e) {
    return static_cast<int>(e.code());
  } catch (const Error& e) {
    log::error("{}", e.what());
    return static_cast<int>(e.code());
  }
  watch.reset();
  return run_on_cluster(command, read, *cluster);
}

Command parse_command(int argc, char** argv, CLI::App& app) {
  Command command;
  app.add_option("arguments", command.arguments);
  app.add_flag("--special", command.special, "tokenize: add special tokens as the post-processor does");
  app.set_version_flag("--version", version());
  app.set_help_flag();
  bool help = false;
  app.add_flag("-h,--help", help, "print this text and every key of the job file");
  app.parse(argc, argv);
  if (help) {
    std::cout << usage << "\n\n" << describe_keys();
    throw CLI::Success();
  }
  if (!command.arguments.empty() && std::find(verbs.begin(), verbs.end(), command.arguments.front()) != verbs.end()) {
    command.verb = command.arguments.front();
    command.arguments.erase(command.arguments.begin());
  }
  return command;
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  tessera::signals::hold();
  tessera::let_waiting_threads_sleep(argv);
  if (argc == 1) {
    if (tessera::launched_rank() == 0)
      std::cerr << tessera::usage << "\n\n  ./train --help lists every key of the job file\n";
    return static_cast<int>(tessera::ExitCode::wrong_job);
  }
  CLI::App app("Tessera");
  tessera::Command command;
  try {
    command = tessera::parse_command(argc, argv, app);
  } catch (const CLI::CallForVersion& e) {
    std::cout << e.what() << '\n';
    return 0;
  } catch (const CLI::Success&) {
    return 0;
  } catch (const CLI::ParseError& e) {
    tessera::log::error("{}; see train --help", e.what());
    return static_cast<int>(tessera::ExitCode::wrong_job);
  }
  if (command.verb == "run")
    tessera::signals::install();  // the others have no state to save: a signal ends them at once
  tessera::signals::release();
  return tessera::start(command, argc, argv);
}
