#include "data/order.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "data/random.h"

using namespace tessera;

namespace {

/// Lengths as of a chat data set: many short, few long.
std::vector<int32_t> uneven_lengths(size_t count, int32_t longest) {
  Random random(7, 0);
  std::vector<int32_t> lengths(count);
  for (int32_t& length : lengths) {
    const double uniform = (static_cast<double>(random.below(1 << 20)) + 1) / (1 << 20);
    length = std::clamp(static_cast<int32_t>(-220 * std::log(uniform)), 3, longest);
  }
  return lengths;
}

DataSettings settings(int64_t sequence_len) {
  DataSettings settings;
  settings.sequence_len = sequence_len;
  return settings;
}

std::vector<int32_t> flattened(const std::vector<std::vector<int32_t>>& sequences) {
  std::vector<int32_t> samples;
  for (const auto& sequence : sequences) samples.insert(samples.end(), sequence.begin(), sequence.end());
  return samples;
}

std::vector<int32_t> counted_up(size_t count) {
  std::vector<int32_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

std::vector<int32_t> sorted(std::vector<int32_t> numbers) {
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

int64_t tokens_of(const std::vector<int32_t>& sequence, const std::vector<int32_t>& lengths) {
  return std::accumulate(sequence.begin(), sequence.end(), int64_t{0},
                         [&](int64_t sum, int32_t sample) { return sum + lengths[static_cast<size_t>(sample)]; });
}

}  // namespace

TEST_CASE("An epoch holds every sample exactly once", "[order]") {
  const auto lengths = uneven_lengths(5003, 1024);
  auto with = settings(1024);
  with.sample_packing = GENERATE(true, false);
  with.shuffle = GENERATE(true, false);
  REQUIRE(sorted(flattened(epoch_sequences(lengths, with, 1, 0))) == counted_up(lengths.size()));
}

TEST_CASE("No packed sequence is longer than sequence_len", "[order]") {
  const auto lengths = uneven_lengths(5003, 1024);
  auto with = settings(1024);
  with.shuffle = GENERATE(true, false);
  for (const auto& sequence : epoch_sequences(lengths, with, 1, 0)) REQUIRE(tokens_of(sequence, lengths) <= 1024);
}

TEST_CASE("First-fit-decreasing fills more than 97 % of the sequences", "[order]") {
  const auto lengths = uneven_lengths(20000, 2048);
  const auto sequences = epoch_sequences(lengths, settings(2048), 1, 0);
  const double total = static_cast<double>(std::accumulate(lengths.begin(), lengths.end(), int64_t{0}));
  REQUIRE(total / (static_cast<double>(sequences.size()) * 2048) > 0.97);
}

TEST_CASE("First-fit-decreasing finds the packing of a small case", "[order]") {
  auto sequences = epoch_sequences({3, 7, 5, 5, 2, 8}, settings(10), 1, 0);
  for (auto& sequence : sequences) sequence = sorted(sequence);
  std::sort(sequences.begin(), sequences.end());
  REQUIRE(sequences.size() == 3);
  REQUIRE(sequences[0] == std::vector<int32_t>{0, 1});
  REQUIRE(sequences[1] == std::vector<int32_t>{2, 3});
  REQUIRE(sequences[2] == std::vector<int32_t>{4, 5});
}

TEST_CASE("Every epoch has the same number of sequences", "[order]") {
  const auto lengths = uneven_lengths(997, 512);
  auto with = settings(512);
  with.sample_packing = GENERATE(true, false);
  with.shuffle = GENERATE(true, false);
  const size_t count = epoch_sequences(lengths, with, 42, 0).size();
  for (int64_t epoch = 1; epoch < 50; ++epoch) REQUIRE(epoch_sequences(lengths, with, 42, epoch).size() == count);
}

TEST_CASE("The order is a function of seed and epoch", "[order]") {
  const auto lengths = uneven_lengths(500, 512);
  const auto first = epoch_sequences(lengths, settings(512), 42, 3);
  REQUIRE(epoch_sequences(lengths, settings(512), 42, 3) == first);
  REQUIRE(epoch_sequences(lengths, settings(512), 42, 4) != first);
  REQUIRE(epoch_sequences(lengths, settings(512), 43, 3) != first);
}

TEST_CASE("The order is the same on every platform", "[order]") {
  auto with = settings(8);
  with.sample_packing = false;
  // Worked out with a separate program from the definitions of splitmix64, xoshiro256** and Fisher-Yates.
  REQUIRE(flattened(epoch_sequences(std::vector<int32_t>(10, 1), with, 42, 0)) ==
          std::vector<int32_t>{9, 3, 6, 4, 0, 7, 5, 2, 8, 1});
}

TEST_CASE("Without packing every sequence is one sample", "[order]") {
  auto with = settings(16);
  with.sample_packing = false;
  for (const auto& sequence : epoch_sequences(uneven_lengths(100, 512), with, 1, 0)) REQUIRE(sequence.size() == 1);
}

TEST_CASE("shuffle = false keeps the order of the files, packed or not", "[order]") {
  auto with = settings(512);
  with.shuffle = false;
  with.sample_packing = GENERATE(true, false);
  const auto lengths = uneven_lengths(500, 512);
  REQUIRE(flattened(epoch_sequences(lengths, with, 1, 5)) == counted_up(lengths.size()));
}

TEST_CASE("No sample makes no sequence", "[order]") { REQUIRE(epoch_sequences({}, settings(16), 1, 0).empty()); }

TEST_CASE("A sample above sequence_len cannot be packed", "[order]") {
  REQUIRE_THROWS_AS(epoch_sequences({4, 17}, settings(16), 1, 0), DataError);
}
