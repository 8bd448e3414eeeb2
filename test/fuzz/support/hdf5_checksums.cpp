// The places of checksums: https://docs.hdfgroup.org/hdf5/develop/_f_m_t3.html.  Offsets and lengths have 8 bytes, as
// in every file of the project.
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "support/hdf5_files.h"
#include "support/mutators.h"

namespace tessera::fuzz {
namespace {

/// Jenkins' lookup3 (hashlittle), the library's checksum of metadata.
uint32_t lookup3(const uint8_t* k, size_t length) {
  const auto rotated = [](uint32_t x, int by) { return x << by | x >> (32 - by); };
  uint32_t a = 0xdeadbeef + static_cast<uint32_t>(length), b = a, c = a;
  const auto add = [&](size_t bytes) {
    uint32_t* const words[] = {&a, &b, &c};
    for (size_t i = 0; i < bytes; ++i) *words[i / 4] += uint32_t{k[i]} << (8 * (i % 4));
  };
  for (; length > 12; length -= 12, k += 12) {
    add(12);
    a -= c, a ^= rotated(c, 4), c += b;
    b -= a, b ^= rotated(a, 6), a += c;
    c -= b, c ^= rotated(b, 8), b += a;
    a -= c, a ^= rotated(c, 16), c += b;
    b -= a, b ^= rotated(a, 19), a += c;
    c -= b, c ^= rotated(b, 4), b += a;
  }
  if (length == 0) return c;
  add(length);
  c ^= b, c -= rotated(b, 14);
  a ^= c, a -= rotated(c, 11);
  b ^= a, b -= rotated(a, 25);
  c ^= b, c -= rotated(b, 16);
  a ^= c, a -= rotated(c, 4);
  b ^= a, b -= rotated(a, 14);
  c ^= b, c -= rotated(b, 24);
  return c;
}

class Mender {
 public:
  Mender(uint8_t* data, size_t size) : data_(data), size_(size) {}

  void mend() {
    if (is_at(0, "\x89HDF\r\n\x1a\n")) put(0, 44);
    for (size_t at = 0; at + 4 <= size_; ++at) {
      if (is_at(at, "OHDR")) object_header(at);
      if (is_at(at, "FRHP")) put(at, 142);
      if (is_at(at, "BTHD")) tree(at);
      if (is_at(at, "FHDB")) direct_block(at);
    }
  }

 private:
  bool holds(size_t at, size_t bytes) const { return at <= size_ && bytes <= size_ - at; }
  bool is_at(size_t at, std::string_view signature) const {
    return holds(at, signature.size()) && std::memcmp(data_ + at, signature.data(), signature.size()) == 0;
  }
  uint64_t number(size_t at, size_t bytes) const {
    uint64_t value = 0;
    if (holds(at, bytes)) std::memcpy(&value, data_ + at, bytes);
    return value;
  }

  /// The checksum of `bytes` bytes, behind them.
  void put(size_t at, size_t bytes) {
    if (bytes > size_ || !holds(at, bytes + 4)) return;
    const uint32_t sum = lookup3(data_ + at, bytes);
    std::memcpy(data_ + at + bytes, &sum, sizeof sum);
  }

  void object_header(size_t at) {
    if (!holds(at, 6)) return;
    const uint8_t flags = data_[at + 5];
    const size_t size_bytes = size_t{1} << (flags & 3);
    const size_t size_at = at + 6 + (flags & 0x20 ? 16 : 0) + (flags & 0x10 ? 4 : 0);
    const size_t begin = size_at + size_bytes, bytes = number(size_at, size_bytes);
    if (!holds(begin, bytes)) return;
    const size_t message_header = flags & 4 ? 6 : 4;
    for (size_t message = begin; message + message_header <= begin + bytes;) {
      if (data_[message] == 0x10) {  // more of the header, elsewhere
        const size_t elsewhere = number(message + message_header, 8), length = number(message + message_header + 8, 8);
        if (length > 4 && holds(elsewhere, length)) put(elsewhere, length - 4);
      }
      message += message_header + number(message + 1, 2);
    }
    put(at, begin + bytes - at);
  }

  void tree(size_t at) {
    put(at, 34);
    const size_t record = number(at + 10, 2), leaf = number(at + 16, 8), count = number(at + 24, 2);
    if (is_at(leaf, "BTLF")) put(leaf, 6 + record * count);
  }

  /// A fractal heap's first block: its checksum is in it, and counts as zero.
  void direct_block(size_t at) {
    const size_t heap = number(at + 5, 8), block_bytes = number(heap + 112, 8);
    const size_t checksum = at + 13 + (number(heap + 128, 2) + 7) / 8;
    if (!is_at(heap, "FRHP") || !holds(at, block_bytes) || checksum + 4 > at + block_bytes) return;
    std::memset(data_ + checksum, 0, 4);
    const uint32_t sum = lookup3(data_ + at, block_bytes);
    std::memcpy(data_ + checksum, &sum, sizeof sum);
  }

  uint8_t* data_;
  size_t size_;
};

}  // namespace

size_t mutate_hdf5(uint8_t* data, size_t size, size_t max_size) {
  static const bool mends = std::getenv("FUZZ_LIBHDF5") != nullptr;
  size = LLVMFuzzerMutate(data, size, max_size);
  if (mends) Mender(data, size).mend();
  return size;
}

}  // namespace tessera::fuzz
