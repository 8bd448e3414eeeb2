#include "generate/generate.h"

#include "verbs/verb.h"

namespace tessera {

ExitCode run_generate(VerbContext& context) {
  generate(context.job, context.cluster);
  return ExitCode::done;
}

}  // namespace tessera
