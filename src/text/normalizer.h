#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "text/aligned_text.h"
#include "text/regex.h"

namespace tessera {

/// What a tokenizer.json does to the text before anything else: composed characters, ▁ for spaces, and the like.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// Throws DataError that names the rule, where it makes more of the text than a sound one does.
  void apply(AlignedText& text, RegexScratch& scratch) const;

  /// The "normalizer" of the file named by `where`.  Throws DataError for one that is not known here.
  static std::unique_ptr<Normalizer> read(const nlohmann::json& description, const std::string& where);

 private:
  virtual void run(AlignedText& text, RegexScratch& scratch) const = 0;
  std::string name_;  ///< of the file and the rule, for errors
};

}  // namespace tessera
