#include "text/word_cache.h"

namespace tessera {
namespace {
constexpr size_t first_slots = 1 << 10, most_slots = 1 << 18;
}

std::span<const WordToken> WordCache::find(std::string_view word, uint64_t hash) const {
  if (slots_.empty()) return {};
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask; slots_[at].word_size; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.hash == hash && slot.word_size == word.size() &&
        std::string_view(words_).substr(slot.word_begin, slot.word_size) == word) {
      return {tokens_.data() + slot.tokens_begin, slot.tokens};
    }
  }
  return {};
}

void WordCache::make_room() {
  if (slots_.size() == most_slots) {
    slots_.assign(first_slots, Slot());
    words_.clear();
    tokens_.clear();
    used_ = 0;
    return;
  }
  std::vector<Slot> old(slots_.empty() ? first_slots : 2 * slots_.size());
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (!slot.word_size) continue;
    size_t at = slot.hash & mask;
    while (slots_[at].word_size) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

void WordCache::insert(std::string_view word, uint64_t hash, std::span<const WordToken> tokens) {
  if (tokens.empty()) return;
  if (2 * (used_ + 1) > slots_.size()) make_room();
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  while (slots_[at].word_size) at = (at + 1) & mask;
  slots_[at] = {hash, static_cast<uint32_t>(words_.size()), static_cast<uint32_t>(tokens_.size()),
                static_cast<uint16_t>(word.size()), static_cast<uint16_t>(tokens.size())};
  words_ += word;
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  ++used_;
}

}  // namespace tessera
