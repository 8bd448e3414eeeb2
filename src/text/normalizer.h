#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "text/aligned_text.h"
#include "text/regex.h"

namespace tessera {

/// A tokenizer.json's first step on the text: composed characters, ▁ for spaces, and the like.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// Throws DataError that names the rule, if it makes the text grow beyond any plausible size.
  void apply(AlignedText& text, RegexScratch& scratch) const;

  /// The "normalizer" of the file named by `where`.  Throws DataError if it is not supported.
  static std::unique_ptr<Normalizer> read(const nlohmann::json& description, const std::string& where);

 private:
  virtual void run(AlignedText& text, RegexScratch& scratch) const = 0;
  std::string name_;  ///< of the file and the rule, for errors
};

}  // namespace tessera
