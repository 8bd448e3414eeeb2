#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tessera {

/// XXH3-64 of the bytes; `seed` 0 as the checkpoint format writes it.
uint64_t xxh3(const void* data, size_t bytes);

/// 16 lower-case hexadecimal digits.
std::string checksum_text(uint64_t checksum);
/// The checksum of such a text; nothing for another.
std::optional<uint64_t> parse_checksum(std::string_view text);

#ifdef TESSERA_FUZZ
/// For fuzz targets alone (test/fuzz): what lies behind a checksum is reached where every one passes.
inline bool every_checksum_passes = false;
#endif

/// Is the checksum that was found the one that a file claims?
inline bool is_checksum(uint64_t found, uint64_t claimed) {
#ifdef TESSERA_FUZZ
  if (every_checksum_passes) return true;
#endif
  return found == claimed;
}

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
  std::string hex() const { return checksum_text(digest()); }

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tessera
