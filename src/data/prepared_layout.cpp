#include "data/prepared_layout.h"

#include <algorithm>
#include <utility>

namespace tessera {

std::string split_column(std::string_view split, std::string_view column) {
  return "/splits/" + std::string(split) + "/" + std::string(column);
}

std::string hashes_of(std::string_view column) { return std::string(column) + "_xxh3"; }

uint64_t prepared_checksum(const PreparedHeader& header, const std::vector<HashedColumn>& columns) {
  Hasher hasher;
  const auto add = [&](int64_t value) { hasher.update(&value, sizeof value); };
  hasher.update_field(prepared_format);
  add(prepared_version);
  hasher.update_field(header.key);
  hasher.update_field(header.summary);
  add(header.vocab_size);
  add(static_cast<int64_t>(header.sources.size()));
  for (const std::string& source : header.sources) hasher.update_field(source);
  for (const HashedColumn& column : columns) {
    hasher.update_field(column.name);
    add(column.size);
    hasher.update(column.hashes.data(), column.hashes.size() * sizeof(uint64_t));
  }
  return hasher.digest();
}

void BlockHasher::add(const void* data, int64_t bytes) {
  const auto* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const int64_t now = std::min(bytes, block_bytes_ - in_block_);
    block_->update(from, static_cast<size_t>(now));
    from += now;
    bytes -= now;
    in_block_ += now;
    if (in_block_ < block_bytes_) return;
    hashes_.push_back(block_->digest());
    block_ = std::make_unique<Hasher>();
    in_block_ = 0;
  }
}

std::vector<uint64_t> BlockHasher::finish() {
  if (std::exchange(in_block_, 0) > 0) hashes_.push_back(block_->digest());
  return std::move(hashes_);
}

}  // namespace tessera
