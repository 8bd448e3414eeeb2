#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "text/normalizer.h"
#include "text/pieces.h"
#include "text/vocabulary.h"

namespace tessera {

struct AddedToken {
  std::string content;
  int32_t id = -1;
  bool single_word = false, lstrip = false, rstrip = false, normalized = false, special = false;
  std::string matched = {};  ///< the content as it is looked for, and decoded: normalized where `normalized` says so
};

/// A set of texts, of which the longest one at the leftmost place is found.
class TextSet {
 public:
  void add(std::string_view text, size_t value);
  bool empty() const { return nodes_.size() == 1; }
  struct Found {
    size_t begin, end, value;
  };
  std::optional<Found> find(std::string_view text, size_t from) const;

 private:
  struct Node {
    std::vector<std::pair<char, uint32_t>> children;
    std::optional<size_t> value;
  };
  std::vector<Node> nodes_{std::vector<Node>(1)};
  bool begins_[256] = {};
};

/// The tokens that a tokenizer.json lists beside its model: they are cut out of the text before the model sees it.
class AddedTokens {
 public:
  /// "added_tokens" of the file named by `where`.  Throws DataError, also where an id does not fit the vocabulary.
  AddedTokens(const nlohmann::json& list, const Vocabulary& vocabulary, const Normalizer* normalizer,
              const std::string& where);

  /// Makes the first pieces of `text`: added tokens, and what lies between them, normalized.
  void cut(std::string_view text, const Normalizer* normalizer, RegexScratch& scratch, Pieces& pieces) const;

  std::optional<int32_t> find(std::string_view content) const;
  const AddedToken* token(int32_t id) const;
  bool is_special(std::string_view content) const { return specials_.contains(std::string(content)); }
  int32_t id_end() const;  ///< the highest id + 1

 private:
  void cut_out(const TextSet& set, Pieces& pieces, const Piece& piece, RegexScratch& scratch) const;
  bool stands_alone(std::string_view text, size_t begin, size_t end, RegexScratch& scratch) const;

  std::string where_;
  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, size_t> by_id_;
  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_set<std::string> specials_;
  TextSet raw_, normalized_;  ///< values are places in tokens_
  std::optional<Regex> word_character_;
};

}  // namespace tessera
