#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

#include "cluster/cluster.h"
#include "device/profiler.h"

namespace tessera {

/// log.trace: what every rank's streams did when, as one file that chrome://tracing and Perfetto open: a process a
/// rank, a line a stream.  Ranks of different hosts are as far apart as their clocks. Format: "Trace Event Format",
/// complete events ("ph": "X"), microseconds.
class Trace {
 public:
  explicit Trace(std::filesystem::path file) : file_(std::move(file)) {}

  void add(std::vector<Profiler::Stretch> stretches);
  /// On all ranks together; rank 0 writes.
  void write(Cluster& cluster) const;

 private:
  std::string events(const Cluster& cluster) const;

  /// Some hundred steps of a small model; what comes later is left out, and said.
  static constexpr size_t most_stretches = 200'000;

  std::filesystem::path file_;
  std::vector<Profiler::Stretch> stretches_;
  bool full_ = false;
};

}  // namespace tessera
