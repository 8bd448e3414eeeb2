#pragma once
#include <cstdint>
#include <string>

#include "data/prepared.h"
#include "text/tokenizer.h"

namespace tessera {

/// Describes the first samples of a set: the source of each, and its tokens one by one.  With `color`, tokens that
/// carry loss are green and the others dim; without, those that carry loss are in [brackets]. A label that differs from
/// its token follows after an arrow.  `tokenizer` may be null: then tokens are numbers.
std::string describe_samples(const PreparedSet& set, const Tokenizer* tokenizer, int64_t first, bool color);

}  // namespace tessera
