#include "session/compute_device.h"

#include <catch2/catch.hpp>

#include "base/error.h"

using namespace tessera;
using Catch::Contains;

namespace {

/// Hosts of `ranks` ranks each that all see its GPUs: "a", "b", …
struct Host {
  int ranks, gpus;
};
std::vector<GpusFound> on(const std::vector<Host>& hosts) {
  std::vector<GpusFound> found;
  for (size_t h = 0; h < hosts.size(); ++h) {
    GpusFound rank{std::string(1, static_cast<char>('a' + h)), {}};
    for (int gpu = 0; gpu < hosts[h].gpus; ++gpu) rank.uuids.push_back("gpu " + std::to_string(gpu));
    found.insert(found.end(), static_cast<size_t>(hosts[h].ranks), rank);
  }
  return found;
}

DeviceKind choose(const DeviceSettings& settings, const std::vector<GpusFound>& ranks) {
  return choose_device(settings, ranks, assign_gpus(ranks));
}

DeviceSettings wanted(DeviceType type, bool share = false) {
  DeviceSettings settings;
  settings.type = type;
  settings.share = share;
  return settings;
}

}  // namespace

TEST_CASE("auto takes GPUs where every rank has one of its own", "[trainer]") {
  const auto chosen = [](const std::vector<Host>& hosts) { return choose(wanted(DeviceType::auto_), on(hosts)); };
  CHECK(chosen({{1, 1}}) == DeviceKind::cuda);
  CHECK(chosen({{2, 4}, {4, 4}}) == DeviceKind::cuda);
  CHECK(chosen({{1, 1}, {1, 0}}) == DeviceKind::cpu);
  CHECK(chosen({{2, 1}}) == DeviceKind::cpu);
}

TEST_CASE("cpu takes no GPU", "[trainer]") { CHECK(choose(wanted(DeviceType::cpu), on({{1, 8}})) == DeviceKind::cpu); }

TEST_CASE("cuda names the hosts that have no GPU, or fewer than ranks", "[trainer]") {
  const DeviceSettings cuda = wanted(DeviceType::cuda);
  CHECK(choose(cuda, on({{2, 2}, {1, 1}})) == DeviceKind::cuda);
  CHECK_THROWS_WITH(choose(cuda, on({{1, 1}, {2, 0}, {1, 1}, {1, 0}})), Contains("no GPU on b, d;"));
  CHECK_THROWS_WITH(choose(cuda, on({{2, 2}, {4, 1}})), Contains("more ranks than GPUs on b (4 ranks, 1 GPU);"));
  CHECK_THROWS_AS(choose(cuda, on({{1, 0}})), ClusterError);
}

TEST_CASE("ranks share a GPU only where the job says so", "[trainer]") {
  CHECK(choose(wanted(DeviceType::cuda, true), on({{4, 1}})) == DeviceKind::cuda);
  CHECK_THROWS_WITH(choose(wanted(DeviceType::cuda, true), on({{4, 1}, {1, 0}})), Contains("no GPU on b"));
  CHECK(choose(wanted(DeviceType::auto_, true), on({{4, 1}})) == DeviceKind::cuda);
  CHECK(choose(wanted(DeviceType::auto_, true), on({{4, 1}, {1, 0}})) == DeviceKind::cpu);
}

TEST_CASE("ranks that share GPUs all communicate in one way", "[trainer]") {
  std::vector<GpusFound> ranks = on({{2, 1}, {2, 1}});
  ranks[0].shares_by_nccl = ranks[1].shares_by_nccl = true;  // as where mpirun did not pass the variable on
  CHECK_THROWS_WITH(choose(wanted(DeviceType::cuda, true), ranks), Contains("NCCL_MULTI_RANK_GPU_ENABLE"));
  ranks[2].shares_by_nccl = ranks[3].shares_by_nccl = true;
  CHECK(choose(wanted(DeviceType::cuda, true), ranks) == DeviceKind::cuda);
}

TEST_CASE("ranks that see the same GPUs take them in their order", "[trainer]") {
  CHECK(assign_gpus(on({{3, 4}, {2, 2}})) == std::vector<int>{0, 1, 2, 0, 1});
  CHECK(assign_gpus(on({{3, 2}})) == std::vector<int>{0, 1, -1});
}

TEST_CASE("ranks that a scheduler has bound to one GPU each take that one", "[trainer]") {
  const std::vector<GpusFound> bound = {{"a", {"x"}}, {"a", {"y"}}, {"b", {"x"}}};
  CHECK(assign_gpus(bound) == std::vector<int>{0, 0, 0});
  CHECK(choose(wanted(DeviceType::auto_), bound) == DeviceKind::cuda);
}

TEST_CASE("a rank takes another GPU if the next rank sees only this one", "[trainer]") {
  CHECK(assign_gpus({{"a", {"x", "y"}}, {"a", {"x"}}}) == std::vector<int>{1, 0});
  CHECK(assign_gpus({{"a", {"x", "y"}}, {"a", {"y", "z"}}, {"a", {"x"}}}) == std::vector<int>{1, 1, 0});
}

TEST_CASE("two ranks that were bound to one GPU are refused by name", "[trainer]") {
  const std::vector<GpusFound> same = {{"a", {"x"}}, {"b", {"x"}}, {"b", {"x"}}};
  CHECK(choose(wanted(DeviceType::auto_), same) == DeviceKind::cpu);
  CHECK_THROWS_WITH(choose(wanted(DeviceType::cuda), same), Contains("more ranks than GPUs on b (2 ranks, 1 GPU);"));
}
