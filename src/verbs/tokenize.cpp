#include <iostream>

#include "text/tokenize_lines.h"
#include "verbs/verb.h"

namespace tessera {

ExitCode run_tokenize(VerbContext& context) {
  const Command& command = context.command;
  if (command.arguments.size() != 1) throw JobError("train tokenize DIR: expected one directory with a tokenizer.json");
  tokenize_lines(Tokenizer::load(command.arguments.front()), std::cin, std::cout,
                 command.special ? SpecialTokens::add : SpecialTokens::leave_out);
  return ExitCode::done;
}

}  // namespace tessera
