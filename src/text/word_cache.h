#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// A token of one piece of text, and the bytes of the piece that it covers.
struct WordToken {
  int32_t id;
  uint32_t begin, end;
};

/// The tokens of words seen before. It is cleared when full, so its memory is bounded.
class WordCache {
 public:
  static constexpr size_t longest_word = 128;  // longer pieces are rarely seen again

  /// The tokens of `word`, or nothing with a null data pointer.  Valid until the next insert().
  std::span<const WordToken> find(std::string_view word, uint64_t hash) const;
  void insert(std::string_view word, uint64_t hash, std::span<const WordToken> tokens);

 private:
  struct Slot {
    uint64_t hash = 0;
    uint32_t word_begin = 0, tokens_begin = 0;
    uint16_t word_size = 0, tokens = 0;  // word_size 0: free
  };
  void make_room();

  std::vector<Slot> slots_;
  std::string words_;
  std::vector<WordToken> tokens_;
  size_t used_ = 0;
};

}  // namespace tessera
