// Measures the collectives: mpirun -n R bandwidth_mpi [MB a rank …].  Wall and processor time of all_gather and
// reduce_scatter beside a memcpy of the same bytes; the median of several runs, taken in turn.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "cluster/agree.h"
#include "cluster/cluster.h"
#include "device/device.h"

using namespace tessera;

namespace {

struct Cost {
  double wall = 0;
  double processor = 0;
};

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

Cost cost_of(Cluster& cluster, const std::function<void()>& work) {
  agree(cluster.world(), "beginning a measurement", [] {});
  const auto start = std::chrono::steady_clock::now();
  const double processor = processor_seconds();
  work();
  const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {wall, processor_seconds() - processor};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void measure(Cluster& cluster, int64_t bytes) {
  const auto device = make_cpu_device(1);
  const auto stream = device->make_stream("communication");
  const int64_t count = bytes / int64_t{sizeof(float)};
  std::vector<float> all(static_cast<size_t>(count * cluster.size()), 1.0f), own(static_cast<size_t>(count), 1.0f);
  const std::array<std::pair<std::string, std::function<void()>>, 3> kinds = {{
      {"memcpy", [&] { std::memcpy(own.data(), all.data(), static_cast<size_t>(bytes)); }},
      {"all_gather",
       [&] {
         cluster.world().all_gather(*stream, all.data() + cluster.rank() * count, all.data(), bytes, "all_gather");
         stream->synchronize();
       }},
      {"reduce_scatter",
       [&] {
         cluster.world().reduce_scatter(*stream, all.data(), own.data(), count, "reduce_scatter");
         stream->synchronize();
       }},
  }};
  std::array<std::vector<double>, 3> wall, processor;
  for (int time = 0; time < 9; ++time) {
    for (size_t k = 0; k < kinds.size(); ++k) {
      const Cost cost = cost_of(cluster, kinds[k].second);
      wall[k].push_back(cost.wall), processor[k].push_back(cost.processor);
    }
  }
  if (cluster.rank() != 0) return;
  for (size_t k = 0; k < kinds.size(); ++k) {
    fmt::print("{:15} {:4} MB a rank, {} ranks: {:8.2f} ms wall, {:8.2f} ms of processor\n", kinds[k].first,
               bytes / 1000000, cluster.size(), median(wall[k]) * 1e3, median(processor[k]) * 1e3);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Cluster cluster(&argc, &argv);
  if (argc < 2) measure(cluster, 100'000'000);
  for (int i = 1; i < argc; ++i) measure(cluster, std::stoll(argv[i]) * 1'000'000);
}
