#include "base/hash.h"

#include <fmt/format.h>
#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>  // the library's code for this processor; its plain functions stop at SSE2
#endif

#include <charconv>
#include <vector>

#include "base/files.h"

namespace tessera {

uint64_t xxh3(const void* data, size_t bytes) { return XXH3_64bits(data, bytes); }

struct Hasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  State() { XXH3_64bits_reset(xxh); }
  ~State() { XXH3_freeState(xxh); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Hasher::Hasher() : state_(std::make_unique<State>()) {}
Hasher::~Hasher() = default;

void Hasher::update(const void* data, size_t bytes) { XXH3_64bits_update(state_->xxh, data, bytes); }

void Hasher::update_field(std::string_view text) {
  const uint64_t length = text.size();
  update(&length, sizeof length);
  update(text.data(), text.size());
}

void Hasher::update_file(const std::filesystem::path& path) {
  InputFile file(path);
  std::vector<char> block(1 << 20);
  while (const int64_t got = file.read(block.data(), static_cast<int64_t>(block.size())))
    update(block.data(), static_cast<size_t>(got));
}

uint64_t Hasher::digest() const { return XXH3_64bits_digest(state_->xxh); }

std::string checksum_text(uint64_t checksum) { return fmt::format("{:016x}", checksum); }

std::optional<uint64_t> parse_checksum(std::string_view text) {
  uint64_t checksum = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, checksum, 16);
  if (error != std::errc() || end != last || text.size() != 16) return std::nullopt;
  return checksum;
}

}  // namespace tessera
