#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "cluster/agree.h"
#include "cluster/cluster.h"
#include "cluster/launch.h"
#include "cluster/start_up.h"
#include "device/gpu_library.h"
#include "device/waiting_threads.h"
#include "job/job.h"
#include "verbs/verb.h"

/// The command line: finds its verb (verbs/), and is the only place besides cluster/last_words.h that turns an error
/// into an exit code or MPI_Abort.
namespace tessera {
namespace {

std::string usage() {
  std::string text = "train [verb] job.ini [section.key=value ...]\n\n";
  for (const Verb& verb : all_verbs())
    if (!verb.help.empty()) text += fmt::format("  {:<10}  {}\n", verb.name, verb.help);
  return text + "\n  On several hosts: mpirun -hostfile hosts ./train job.ini";
}

std::string version() {
  return fmt::format("tessera {}\nparts: CPU ranks (oneDNN, Highway), MPI; GPUs (CUDA, cuBLASLt, cuDNN, NCCL): {}",
                     TESSERA_VERSION, GpuLibrary::is_there() ? "in" : "not in this build");
}

/// The job, read before MPI starts, which needs the network interface. An error is kept until every rank can agree on
/// it.
struct ReadJob {
  Job job;
  ClusterSettings cluster;
  std::exception_ptr error;
};

ReadJob read_job(const Command& command) {
  if (!command.verb->reads_job) return {};
  ReadJob read;
  try {
    if (command.arguments.empty()) throw JobError("no job file given; see train --help");
    read.job = parse_job(command.arguments.front(),
                         std::vector<std::string>(command.arguments.begin() + 1, command.arguments.end()));
    if (command.verb->prepares_data) require_resolvable(read.job);
    read.cluster.timeout_seconds = read.job.network.timeout_seconds;
    if (!command.verb->runs_alone) read.cluster.interface = read.job.network.interface;
  } catch (const std::exception&) {
    read.error = std::current_exception();
  }
  return read;
}

ExitCode run_verb(VerbContext& context, const std::exception_ptr& job_error) {
  const Verb& verb = *context.command.verb;
  Cluster& cluster = context.cluster;
  if (!verb.reads_job) return verb.run(context);
  agree(cluster.world(), "reading the job", [&] {
    if (job_error) std::rethrow_exception(job_error);
    if (verb.runs_alone && cluster.size() > 1) throw JobError("train {}: run it without mpirun", verb.name);
  });
  if (const std::string network = cluster.describe_network(); !network.empty()) log::info("network: {}", network);
  return verb.run(context);
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
  VerbContext context{command, read.job, cluster, {}};
  try {
    return static_cast<int>(run_verb(context, read.error));
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
    std::cout << usage() << "\n\n" << describe_keys();
    throw CLI::Success();
  }
  command.verb = &all_verbs().front();
  if (command.arguments.empty()) return command;
  if (const Verb* const named = find_verb(command.arguments.front())) {
    command.verb = named;
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
      std::cerr << tessera::usage() << "\n\n  ./train --help lists every key of the job file\n";
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
  if (command.verb->saves_state) tessera::signals::install();
  tessera::signals::release();
  return tessera::start(command, argc, argv);
}
