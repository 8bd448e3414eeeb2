#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "text/pieces.h"
#include "text/regex.h"

namespace tessera {

/// Cuts the normalized text into the pieces that the model encodes one by one.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(Pieces& pieces, RegexScratch& scratch) const = 0;
  /// Does the model see the bytes of each piece, written in GPT-2's alphabet?
  virtual bool writes_bytes() const { return false; }

  /// The "pre_tokenizer" of the file named by `where`.  Throws DataError if it is not supported.
  static std::unique_ptr<PreTokenizer> read(const nlohmann::json& description, const std::string& where);
};

}  // namespace tessera
