#pragma once
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cluster/cluster.h"
#include "job/job.h"

/// The verbs of the command line: a file each, and a row in the table of verbs.cpp.
namespace tessera {

struct VerbContext;

struct Verb {
  std::string_view name;
  std::string_view help;  ///< its lines in the usage; empty: not shown
  ExitCode (*run)(VerbContext& context);
  bool reads_job = true;
  bool prepares_data = false;
  bool runs_alone = false;   ///< not under mpirun
  bool saves_state = false;  ///< a signal asks it to stop after the step, and ends the others at once
};

/// What the user typed.
struct Command {
  const Verb* verb = nullptr;
  std::vector<std::string> arguments;  ///< job file and overrides; of tokenize the directory
  bool special = false;                ///< --special of tokenize
};

/// What a verb works with.  Verbs throw errors as base/error.h has them.
struct VerbContext {
  const Command& command;
  const Job& job;  ///< empty for a verb that reads none
  Cluster& cluster;
  /// Lives until the message of an error is printed: what waits for its streams when it ends, which may fail too.
  std::shared_ptr<void> outlives_errors;
};

/// All verbs; the first is the one of a command that names none.
const std::vector<Verb>& all_verbs();
/// Null where there is none of that name.
const Verb* find_verb(std::string_view name);

// The files beside this one.
ExitCode run_training(VerbContext& context);
ExitCode run_preprocess(VerbContext& context);
ExitCode run_evaluate(VerbContext& context);
ExitCode run_generate(VerbContext& context);
ExitCode run_export(VerbContext& context);
ExitCode run_inspect(VerbContext& context);
ExitCode run_plan(VerbContext& context);
ExitCode run_tokenize(VerbContext& context);

}  // namespace tessera
