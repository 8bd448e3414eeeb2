#include "text/vocabulary.h"

#include <bit>

#include "base/hash.h"

namespace tessera {
namespace {
uint32_t hash_of(std::string_view token) { return static_cast<uint32_t>(xxh3(token.data(), token.size())); }
}  // namespace

void Vocabulary::reserve(size_t tokens, size_t bytes) {
  buffer_.reserve(bytes);
  texts_.reserve(tokens);
  if (slots_.size() < 2 * tokens) slots_.reserve(std::bit_ceil(2 * tokens));
}

std::string_view Vocabulary::text(int32_t id) const {
  if (!has(id)) return {};
  return std::string_view(buffer_).substr(texts_[id].begin, texts_[id].size);
}

size_t Vocabulary::slot_of(std::string_view token, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = hash & mask;
  while (slots_[slot].id >= 0 && (slots_[slot].hash != hash || text(slots_[slot].id) != token))
    slot = (slot + 1) & mask;
  return slot;
}

void Vocabulary::grow() {
  std::vector<Slot> old(std::max<size_t>(1024, 2 * slots_.size()));
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& entry : old) {
    if (entry.id < 0) continue;
    size_t slot = entry.hash & mask;
    while (slots_[slot].id >= 0) slot = (slot + 1) & mask;
    slots_[slot] = entry;
  }
}

void Vocabulary::add(std::string_view token, int32_t id) {
  if (2 * static_cast<size_t>(count_ + 1) > slots_.size()) grow();
  const uint32_t hash = hash_of(token);
  const size_t slot = slot_of(token, hash);
  if (slots_[slot].id < 0) {
    ++count_;
  } else if (slots_[slot].id != id) {
    texts_[slots_[slot].id].here = false;
  }
  if (static_cast<size_t>(id) >= texts_.size()) texts_.resize(static_cast<size_t>(id) + 1);
  texts_[id] = {static_cast<uint32_t>(buffer_.size()), static_cast<uint32_t>(token.size()), true};
  buffer_ += token;
  slots_[slot] = {hash, id};
}

std::optional<int32_t> Vocabulary::find(std::string_view token) const {
  if (slots_.empty()) return std::nullopt;
  const Slot& slot = slots_[slot_of(token, hash_of(token))];
  if (slot.id < 0) return std::nullopt;
  return slot.id;
}

}  // namespace tessera
