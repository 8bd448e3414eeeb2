#pragma once
#include <cstdint>
#include <vector>

#include "job/job.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tessera {

/// The bytes [begin, end) of the rendered conversation that carry loss, ascending and disjoint: the content of each
/// message in `trained` (one flag a message), and the ends of turns that train_on_eos asks for: `turn` those of the
/// trained messages, `last` the last one of these, `all` every one, `none` none.
struct ByteRange {
  int64_t begin, end;
};
std::vector<ByteRange> trained_ranges(const std::vector<ChatPiece>& pieces, const std::vector<bool>& trained,
                                      TrainOnEos train_on_eos);

/// A label for each token of the rendered conversation, which was tokenised as a whole: the id where the token covers
/// any byte of a range, otherwise ignored_label.  So a token that straddles a boundary carries loss: for Llama 2, whose
/// template has a space before the answer that becomes part of its first token, the answer's first word would otherwise
/// never be learnt. axolotl decides the same way.
std::vector<int32_t> labels_of(const Encoding& encoding, const std::vector<ByteRange>& ranges);

}  // namespace tessera
