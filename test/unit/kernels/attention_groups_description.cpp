#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <set>

#include "kernels/cuda/attention_description.h"

// How a batch's documents are shared out over calls of cuDNN, and what that takes of a GPU's memory.
namespace tessera::test {
namespace {

constexpr int64_t plenty = int64_t{1} << 31;  // bytes of scores

/// Documents of these lengths.
struct Documents {
  explicit Documents(const std::vector<int32_t>& lengths, int64_t H = 32, int64_t G = 8) {
    for (const int32_t length : lengths) cu_seqlens.push_back(cu_seqlens.back() + length);
    shape.H = H, shape.G = G, shape.D = 128;
    shape.cu_seqlens = cu_seqlens.data();
    shape.N = static_cast<int64_t>(lengths.size());
  }
  std::vector<AttentionGroup> groups(int64_t tokens, int64_t score_bytes = plenty) const {
    return attention_groups(shape, cu_seqlens.back(), {tokens, score_bytes});
  }
  std::vector<int32_t> cu_seqlens = {0};
  AttentionShape shape{};
};

TEST_CASE("long and short documents of a packed row are apart", "[kernels][attention][description]") {
  const Documents packed({1500, 900, 400, 300, 300, 200, 150, 100, 90, 80, 40, 30, 6});
  CHECK(packed.groups(4096) ==
        std::vector<AttentionGroup>{{0, 2, {2, 2048, 4096}, 1}, {2, 8, {8, 512, 4096}, 1}, {10, 3, {4, 128, 4096}, 1}});
  CHECK(Documents({4096}).groups(4096) == std::vector<AttentionGroup>{{0, 1, {1, 4096, 4096}, 1}});
  CHECK(Documents({}).groups(4096).empty());
  // Not sorted, it takes more of them.
  CHECK(Documents({10, 300, 20}).groups(4096) ==
        std::vector<AttentionGroup>{{0, 1, {1, 128, 4096}, 1}, {1, 2, {4, 512, 4096}, 1}});
}

TEST_CASE("a batch beyond what was announced counts its own tokens", "[kernels][attention][description]") {
  CHECK(Documents({600, 500}).groups(1000).front().bucket == AttentionBucket{2, 1024, 2048});
  CHECK(Documents({600, 500}).groups(0).front().bucket == AttentionBucket{2, 1024, 2048});
}

TEST_CASE("no group's scores take more than the limit while documents or heads can be shared out",
          "[kernels][attention][description]") {
  const auto bytes = [](const AttentionGroup& g, int64_t H) { return attention_score_bytes(g.bucket, H) / g.parts; };
  for (const int64_t limit : {int64_t{1} << 26, int64_t{1} << 28, plenty})
    for (const std::vector<int32_t>& lengths :
         {std::vector<int32_t>(4, 4096), {8192, 8000}, {16384}, std::vector<int32_t>(64, 128)}) {
      const Documents documents(lengths);
      const auto groups = documents.groups(16384, limit);
      int64_t covered = 0;
      for (const AttentionGroup& group : groups) {
        CHECK(group.first == covered);
        CHECK(group.count <= group.bucket.documents);
        CHECK((group.parts == 0 || bytes(group, 32) <= 4 * limit));
        CHECK((bytes({0, 1, group.bucket, 8}, 32) > limit || bytes(group, 32) <= limit));
        covered += group.count;
      }
      CHECK(covered == static_cast<int64_t>(lengths.size()));
    }
  CHECK(Documents({8192}).groups(8192).front().parts == 2);
  CHECK(Documents({16384}, 16, 2).groups(16384).front().parts == 2);  // 4 GiB each, as there are two key heads
  CHECK(Documents({65536}, 16, 2).groups(65536).front().parts == 0);
}

TEST_CASE("the largest group of a job has room for every batch's", "[kernels][attention][description]") {
  for (const int64_t tokens : {300, 4096, 16384}) {
    const Documents none({});
    const AttentionLimits limits{tokens, plenty};
    const AttentionGroup largest = largest_attention_group(none.shape, std::min<int64_t>(tokens, 4096), limits);
    const int64_t room = attention_score_bytes(largest.bucket, 32) / largest.parts;
    for (int32_t length = 1; length <= std::min<int64_t>(tokens, 4096); length = length * 3 / 2 + 1)
      for (const AttentionGroup& group :
           Documents(std::vector<int32_t>(static_cast<size_t>(tokens / length), length)).groups(tokens))
        CHECK(attention_score_bytes(group.bucket, 32) / group.parts <= room);
    CHECK(room <= 2 * tokens * 32 * 4096);
  }
}

TEST_CASE("a packed run meets few buckets", "[kernels][attention][description]") {
  std::set<AttentionBucket> met;
  std::mt19937 random(7);
  for (int row = 0; row < 2000; ++row) {
    std::vector<int32_t> lengths;
    for (int32_t left = 4096; left > 0; left -= lengths.back())
      lengths.push_back(std::min<int32_t>(left, static_cast<int32_t>(std::exp(3 + 5.3 * (random() % 1000) / 1000.0))));
    std::sort(lengths.rbegin(), lengths.rend());
    const auto groups = Documents(lengths).groups(4096);
    for (const AttentionGroup& group : groups) met.insert(group.bucket);
    CHECK(groups.size() <= 6);
  }
  CHECK(met.size() <= 18);
}

}  // namespace
}  // namespace tessera::test
