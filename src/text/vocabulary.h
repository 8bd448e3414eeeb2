#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// Tokens and their ids, both ways.  The texts lie one after the other in one buffer.
class Vocabulary {
 public:
  void reserve(size_t tokens, size_t bytes);
  /// An existing token gets the new id.
  void add(std::string_view token, int32_t id);
  std::optional<int32_t> find(std::string_view token) const;
  bool has(int32_t id) const { return id >= 0 && static_cast<size_t>(id) < texts_.size() && texts_[id].here; }
  std::string_view text(int32_t id) const;                                ///< empty for an id without a token
  int64_t size() const { return count_; }                                 ///< tokens
  int32_t id_end() const { return static_cast<int32_t>(texts_.size()); }  ///< the highest id + 1

 private:
  struct Text {
    uint32_t begin = 0, size = 0;
    bool here = false;
  };
  struct Slot {
    uint32_t hash = 0;
    int32_t id = -1;
  };
  size_t slot_of(std::string_view token, uint32_t hash) const;
  void grow();

  std::string buffer_;
  std::vector<Text> texts_;
  std::vector<Slot> slots_;
  int64_t count_ = 0;
};

}  // namespace tessera
