#include "shard/device_batch.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tessera {

DeviceBatch::DeviceBatch(Device& device, int64_t max_tokens) : device_(device) {
  if (device.kind() == DeviceKind::cpu) return;
  const int64_t bytes = device_bytes(device, max_tokens);
  staging_ = Buffer(device, bytes, "batches", Memory::host);
  memory_ = Buffer(device, bytes, "batches");
}

int64_t DeviceBatch::device_bytes(const Device& device, int64_t max_tokens) {
  if (device.kind() == DeviceKind::cpu) return 0;
  return (6 * max_tokens + 1) * size_of(DType::i32);  // documents have a token at least
}

Batch sorted_by_length(const Batch& batch) {
  const auto begin = [&](size_t n) { return batch.cu_seqlens[n]; };
  const auto length = [&](size_t n) { return begin(n + 1) - begin(n); };
  std::vector<size_t> order(static_cast<size_t>(batch.documents()));
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return length(a) > length(b); });
  Batch sorted;
  sorted.supervised = batch.supervised;
  sorted.samples = batch.samples;
  const auto append = [&](const std::vector<int32_t>& from, size_t n, std::vector<int32_t>& to) {
    to.insert(to.end(), from.begin() + begin(n), from.begin() + begin(n + 1));
  };
  for (const size_t n : order) {
    append(batch.tokens, n, sorted.tokens);
    append(batch.targets, n, sorted.targets);
    append(batch.positions, n, sorted.positions);
    if (!batch.sample_of.empty()) append(batch.sample_of, n, sorted.sample_of);
    sorted.cu_seqlens.push_back(static_cast<int32_t>(sorted.tokens.size()));
  }
  return sorted;
}

void DeviceBatch::fill(Stream& stream, Batch batch) {
  batch_ = device_.kind() == DeviceKind::cpu ? std::move(batch) : sorted_by_length(batch);
  supervised_rows_.clear();
  supervised_targets_.clear();
  for (size_t t = 0; t < batch_.targets.size(); ++t) {
    if (batch_.targets[t] < 0) continue;
    supervised_rows_.push_back(static_cast<int32_t>(t));
    supervised_targets_.push_back(batch_.targets[t]);
  }
  tokens_ = batch_.tokens.data();
  positions_ = batch_.positions.data();
  samples_ = batch_.sample_of.data();
  cu_seqlens_ = batch_.cu_seqlens.data();
  rows_ = supervised_rows_.data();
  targets_ = supervised_targets_.data();
  if (device_.kind() != DeviceKind::cpu) upload(stream);
}

void DeviceBatch::upload(Stream& stream) {
  auto* end = staging_.as<int32_t>();
  const auto place = [&](const std::vector<int32_t>& values, const int32_t*& where) {
    where = memory_.as<int32_t>() + (end - staging_.as<int32_t>());
    end = std::copy(values.begin(), values.end(), end);
  };
  place(batch_.tokens, tokens_);
  place(batch_.positions, positions_);
  place(batch_.sample_of, samples_);
  place(batch_.cu_seqlens, cu_seqlens_);
  place(supervised_rows_, rows_);
  place(supervised_targets_, targets_);
  stream.transfer(staging_.data(), memory_.data(), (end - staging_.as<int32_t>()) * size_of(DType::i32));
}

Supervised DeviceBatch::supervised() const { return {static_cast<int64_t>(supervised_rows_.size()), rows_, targets_}; }

Documents DeviceBatch::documents() const {
  return {batch_.size(), batch_.cu_seqlens.data(), batch_.documents(), cu_seqlens_, {}, samples_, positions_};
}

}  // namespace tessera
