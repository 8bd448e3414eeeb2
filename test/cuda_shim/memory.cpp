#include "cuda_shim/memory.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>

#include "cuda_shim/execution.h"
#include "cuda_shim/sanitizer.h"

namespace cuda_shim {
namespace {

constexpr size_t alignment = 256;
constexpr size_t zone = 1024;  // before and behind each piece
static_assert(zone % (2 * alignment) == 0);

struct Piece {
  unsigned char* whole;  // [zone + alignment][bytes][zone]
  size_t bytes;

  unsigned char* begin() const { return whole + zone + alignment; }
  unsigned char* end() const { return begin() + bytes; }
  size_t total() const { return zone + alignment + bytes + zone; }
};

std::mutex mutex;
std::map<void*, Piece> pieces;  // by their first byte

bool damaged(const unsigned char* guard) {
  static const std::array<unsigned char, zone> intact = [] {
    std::array<unsigned char, zone> bytes;
    bytes.fill(untouched);
    return bytes;
  }();
  return std::memcmp(guard, intact.data(), zone) != 0;
}

/// Mends what it reports, so that one fault is one error.
void check(const Piece& piece) {
  const bool before = damaged(piece.begin() - zone), behind = damaged(piece.end());
  if (!before && !behind) return;
  std::memset(piece.begin() - zone, untouched, zone);
  std::memset(piece.end(), untouched, zone);
  throw Fault(fmt::format("written {} a piece of memory of {} bytes", before ? "before" : "behind", piece.bytes));
}

}  // namespace

void* allocate(size_t bytes) {
  Piece piece{nullptr, bytes};
  const size_t rounded = (piece.total() + 2 * alignment - 1) / (2 * alignment) * (2 * alignment);
  piece.whole = static_cast<unsigned char*>(std::aligned_alloc(2 * alignment, rounded));
  if (piece.whole == nullptr) throw std::bad_alloc();
  std::memset(piece.whole, untouched, piece.total());
  forbid_access(piece.whole, zone + alignment);
  forbid_access(piece.end(), zone);
  const std::lock_guard lock(mutex);
  pieces[piece.begin()] = piece;
  return piece.begin();
}

void release(void* memory) noexcept {
  if (memory == nullptr) return;
  const std::lock_guard lock(mutex);
  const Piece piece = pieces.at(memory);
  pieces.erase(memory);
  allow_access(piece.whole, piece.total());
  std::free(piece.whole);
}

void check_guard_zones() {
  if (sanitizer_watches_memory) return;
  const std::lock_guard lock(mutex);
  for (const auto& [memory, piece] : pieces) check(piece);
}

}  // namespace cuda_shim
