#pragma once
#include <cstdint>
#include <string>

#include "data/prepared.h"
#include "text/tokenizer.h"

namespace tessera {

/// The first samples of a set, for people: where each comes from, and its tokens one by one.  With `color`, tokens that
/// carry loss are green and the others dim; without, those that carry loss stand in [brackets].  A label that differs
/// from its token follows it after an arrow.  `tokenizer` may be null: then tokens are numbers.
std::string describe_samples(const PreparedSet& set, const Tokenizer* tokenizer, int64_t first, bool color);

}  // namespace tessera
