#pragma once
#include <istream>
#include <ostream>

#include "text/tokenizer.h"

namespace tessera {

/// Reads one JSON string a line and writes {"ids":[…],"offsets":[[begin,end],…]} a line, offsets in bytes of the
/// string. Throws DataError with the number of a line that is not a JSON string; the lines before it are written.
void tokenize_lines(const Tokenizer& tokenizer, std::istream& in, std::ostream& out, SpecialTokens special);

}  // namespace tessera
