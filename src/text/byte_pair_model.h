#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/merge_queues.h"
#include "text/merges.h"
#include "text/tokenizer_file.h"
#include "text/vocabulary.h"
#include "text/word_cache.h"

namespace tessera {

/// A piece of text as a row of tokens that are being merged.
struct Symbol {
  int32_t id;
  uint32_t length;  ///< in bytes of what the model sees
};

/// What one thread needs to encode with a BytePairModel.
struct BytePairScratch {
  struct Link {
    int32_t previous, next;
  };
  WordCache cache;
  std::vector<Symbol> symbols;
  std::vector<Merges::Merge> merges;  ///< of each symbol with the one behind it
  std::vector<Link> links;
  MergeQueues queues;
  std::vector<uint32_t> sources;
  std::string written;
};

/// Byte pair encoding: a piece becomes characters (or bytes written in GPT-2's alphabet), of which the pair with the
/// lowest rank is merged, the leftmost first, until no pair can be.  Sennrich et al. 2016.
class BytePairModel {
 public:
  /// Takes the vocabulary and the merges from the file. Throws DataError for unsupported settings of the model, and for
  /// a merge of missing tokens.
  BytePairModel(TokenizerFile& file, bool writes_bytes);

  /// Appends the tokens of one piece.
  void encode(std::string_view piece, BytePairScratch& scratch, std::vector<WordToken>& tokens) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  void read_settings(const TokenizerFile& file);
  void read_merges(const TokenizerFile& file);
  void find_symbols();
  bool covers_every_character() const;
  void choose_cuts(const TokenizerFile& file);

  void encode_part(std::string_view part, uint32_t position, BytePairScratch& scratch,
                   std::vector<WordToken>& tokens) const;
  void encode_word(std::string_view word, BytePairScratch& scratch, std::vector<WordToken>& tokens) const;
  bool encode_whole(std::string_view word, BytePairScratch& scratch, std::vector<WordToken>& tokens) const;
  bool byte_symbols(std::string_view word, std::vector<Symbol>& symbols) const;
  void character_symbols(std::string_view text, std::vector<Symbol>& symbols) const;
  int32_t symbol_of(std::string_view character) const;

  std::string where_;
  Vocabulary vocabulary_;
  Merges merges_;
  bool writes_bytes_;
  bool fuse_unknown_ = false, byte_fallback_ = false, ignore_merges_ = false;
  std::string unknown_token_;
  std::optional<int32_t> unknown_;
  std::array<int32_t, 256> bytes_{};     ///< the token of each byte written in GPT-2's alphabet, or -1
  std::array<int32_t, 256> fallback_{};  ///< the token <0x..> of each byte, or -1
  std::vector<int32_t> characters_;      ///< the token of each character below U+10000, or -1
  /// Where no token holds ▁ behind another character, no merge crosses the border before ▁: a text may be cut there.
  bool cuts_before_mark_ = false;
};

/// Merges the symbols by rank, leftmost first.
void merge_symbols(const Merges& merges, BytePairScratch& scratch);

}  // namespace tessera
