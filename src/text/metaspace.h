#pragma once
#include <string>

#include "text/description.h"

namespace tessera {

/// SentencePiece's treatment of spaces: each becomes ▁, and one is prepended to the text.
struct Metaspace {
  enum class Prepend { always, first, never };
  std::string replacement;
  Prepend prepend = Prepend::always;
  bool split = true;
};

/// From a pre-tokenizer or a decoder.  Throws DataError.
Metaspace read_metaspace(const Description& description);

}  // namespace tessera
