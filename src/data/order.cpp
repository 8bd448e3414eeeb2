#include "data/order.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/error.h"
#include "base/number.h"
#include "data/random.h"

namespace tessera {
namespace {

using Sequences = std::vector<std::vector<int32_t>>;

/// Bins of equal capacity, all empty at first.  A binary tree over them holds the largest room below each node, so that
/// the first bin with enough room is found in O(log bins).
class Bins {
 public:
  Bins(int64_t count, int32_t capacity)
      : leaves_(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(count, 1)))), room_(2 * leaves_, capacity) {}

  /// Takes `length` from the first bin that has it and says which bin that was.
  uint64_t place_first_fit(int32_t length) {
    uint64_t node = 1;
    while (node < leaves_) {
      node *= 2;
      if (room_[node] < length) ++node;
    }
    const uint64_t bin = node - leaves_;
    room_[node] -= length;
    while ((node /= 2) > 0) room_[node] = std::max(room_[2 * node], room_[2 * node + 1]);
    return bin;
  }

 private:
  uint64_t leaves_;
  std::vector<int32_t> room_;
};

Sequences one_each(const std::vector<int32_t>& samples) {
  Sequences sequences;
  sequences.reserve(samples.size());
  for (const int32_t sample : samples) sequences.push_back({sample});
  return sequences;
}

/// First-fit-decreasing; samples of equal length stay in the (shuffled) order they come in.
Sequences pack_first_fit_decreasing(std::vector<int32_t> samples, const std::vector<int32_t>& lengths,
                                    int32_t capacity) {
  std::stable_sort(samples.begin(), samples.end(), [&](int32_t a, int32_t b) { return lengths[a] > lengths[b]; });
  Bins bins(narrow<int64_t>(samples.size()), capacity);
  Sequences sequences;
  for (const int32_t sample : samples) {
    const uint64_t bin = bins.place_first_fit(lengths[sample]);
    if (bin == sequences.size()) sequences.emplace_back();
    sequences[bin].push_back(sample);
  }
  return sequences;
}

/// Fills one sequence after the other, so that the order of the samples stays as it is.
Sequences pack_in_order(const std::vector<int32_t>& samples, const std::vector<int32_t>& lengths, int32_t capacity) {
  Sequences sequences;
  int64_t room = 0;
  for (const int32_t sample : samples) {
    if (sequences.empty() || lengths[sample] > room) {
      sequences.emplace_back();
      room = capacity;
    }
    sequences.back().push_back(sample);
    room -= lengths[sample];
  }
  return sequences;
}

void check_lengths(const std::vector<int32_t>& lengths, int64_t sequence_len) {
  for (size_t i = 0; i < lengths.size(); ++i)
    if (lengths[i] > sequence_len)
      throw DataError(
          "sample {} has {} tokens, more than sequence_len = {}: the prepared file was made for another length", i,
          lengths[i], sequence_len);
}

}  // namespace

Sequences epoch_sequences(const std::vector<int32_t>& lengths, const DataSettings& settings, int64_t seed,
                          int64_t epoch) {
  std::vector<int32_t> samples(narrow<size_t>(narrow<int32_t>(lengths.size())));
  std::iota(samples.begin(), samples.end(), 0);
  Random random(seed, epoch);
  if (settings.shuffle) random.shuffle(samples);
  if (!settings.sample_packing) return one_each(samples);

  check_lengths(lengths, settings.sequence_len);
  const auto capacity = narrow<int32_t>(settings.sequence_len);
  if (!settings.shuffle) return pack_in_order(samples, lengths, capacity);
  Sequences sequences = pack_first_fit_decreasing(std::move(samples), lengths, capacity);
  random.shuffle(sequences);
  return sequences;
}

}  // namespace tessera
