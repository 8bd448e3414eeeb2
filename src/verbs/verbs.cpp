#include <algorithm>

#include "verbs/verb.h"

namespace tessera {
namespace {

ExitCode run_missing(VerbContext& context) {
  throw JobError("train {}: not in this build", context.command.verb->name);
}

}  // namespace

const std::vector<Verb>& all_verbs() {
  static const std::vector<Verb> verbs = {
      {.name = "run",
       .help = "prepare the data if needed, train, save and export (the default)",
       .run = run_training,
       .prepares_data = true,
       .saves_state = true},
      {.name = "preprocess",
       .help = "tokenise and mask the data, write the prepared file, print statistics",
       .run = run_preprocess,
       .prepares_data = true},
      {.name = "evaluate",
       .help = "print the loss on the evaluation sets, without training",
       .run = run_evaluate,
       .prepares_data = true},
      {.name = "generate",
       .help = "answer generate.prompt with the latest checkpoint, or with the base model",
       .run = run_generate},
      {.name = "export",
       .help = "write the latest checkpoint, or checkpoint.resume, as a Hugging Face directory",
       .run = run_export,
       .runs_alone = true},
      {.name = "inspect",
       .help = "show the first samples with their loss mask, and describe the latest checkpoint",
       .run = run_inspect,
       .prepares_data = true,
       .runs_alone = true},
      {.name = "plan",
       .help = "memory, traffic and operations per rank for plan.ranks ranks, without starting them",
       .run = run_plan,
       .runs_alone = true},
      {.name = "tokenize",
       .help = "train tokenize DIR: read JSON strings from standard input, write ids and offsets",
       .run = run_tokenize,
       .reads_job = false},
      {.name = "check", .help = "", .run = run_missing, .reads_job = false},
  };
  return verbs;
}

const Verb* find_verb(std::string_view name) {
  const auto found = std::ranges::find(all_verbs(), name, &Verb::name);
  return found == all_verbs().end() ? nullptr : &*found;
}

}  // namespace tessera
