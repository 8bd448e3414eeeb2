#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace tessera {

/// XXH3-64 of the bytes; `seed` 0 as the checkpoint format writes it.
uint64_t xxh3(const void* data, size_t bytes);

/// XXH3-64 of a stream of pieces.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  void update(const void* data, size_t bytes);
  /// The text with its length before it, so that ("ab","c") and ("a","bc") differ.
  void update_field(std::string_view text);
  void update_file(const std::filesystem::path& path);  ///< throws DataError where the file cannot be read
  uint64_t digest() const;
  std::string hex() const;  ///< 16 lower-case digits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tessera
