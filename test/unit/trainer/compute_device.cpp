#include "trainer/compute_device.h"

#include <catch2/catch.hpp>

#include "base/error.h"

using namespace tessera;
using Catch::Contains;

namespace {

/// Hosts of `ranks` ranks each, with so many GPUs: "a", "b", …
struct Host {
  int ranks, gpus;
};
std::vector<GpusFound> on(const std::vector<Host>& hosts) {
  std::vector<GpusFound> found;
  for (size_t h = 0; h < hosts.size(); ++h)
    for (int local = 0; local < hosts[h].ranks; ++local)
      found.push_back({std::string(1, static_cast<char>('a' + h)), local, hosts[h].ranks, hosts[h].gpus});
  return found;
}

DeviceSettings wanted(DeviceType type, bool share = false) {
  DeviceSettings settings;
  settings.type = type;
  settings.share = share;
  return settings;
}

}  // namespace

TEST_CASE("auto takes GPUs where every rank has one of its own", "[trainer]") {
  const auto chosen = [](const std::vector<Host>& hosts) {
    return choose_device(wanted(DeviceType::auto_), on(hosts));
  };
  CHECK(chosen({{1, 1}}) == DeviceKind::cuda);
  CHECK(chosen({{2, 4}, {4, 4}}) == DeviceKind::cuda);
  CHECK(chosen({{1, 1}, {1, 0}}) == DeviceKind::cpu);
  CHECK(chosen({{2, 1}}) == DeviceKind::cpu);
  CHECK(chosen({{1, -1}}) == DeviceKind::cpu);
}

TEST_CASE("cpu takes no GPU", "[trainer]") {
  CHECK(choose_device(wanted(DeviceType::cpu), on({{1, 8}})) == DeviceKind::cpu);
}

TEST_CASE("cuda names the hosts that have no GPU, or fewer than ranks", "[trainer]") {
  const DeviceSettings cuda = wanted(DeviceType::cuda);
  CHECK(choose_device(cuda, on({{2, 2}, {1, 1}})) == DeviceKind::cuda);
  CHECK_THROWS_WITH(choose_device(cuda, on({{1, 1}, {2, 0}, {1, 1}, {1, 0}})), Contains("no GPU on b, d;"));
  CHECK_THROWS_WITH(choose_device(cuda, on({{2, 2}, {4, 1}})), Contains("more ranks than GPUs on b (4 ranks, 1 GPU);"));
  CHECK_THROWS_AS(choose_device(cuda, on({{1, 0}})), ClusterError);
}

TEST_CASE("ranks share a GPU only where the job says so", "[trainer]") {
  CHECK(choose_device(wanted(DeviceType::cuda, true), on({{4, 1}})) == DeviceKind::cuda);
  CHECK_THROWS_WITH(choose_device(wanted(DeviceType::cuda, true), on({{4, 1}, {1, 0}})), Contains("no GPU on b"));
}
