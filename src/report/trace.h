#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

#include "cluster/cluster.h"
#include "device/profiler.h"

namespace tessera {

/// log.trace: a timeline of every rank's streams, as one file for chrome://tracing and Perfetto: a process per rank, a
/// line per stream. Ranks of different hosts are offset by their clocks' difference. Format: "Trace Event Format",
/// complete events ("ph": "X"), microseconds.
class Trace {
 public:
  explicit Trace(std::filesystem::path file) : file_(std::move(file)) {}

  void add(std::vector<Profiler::Stretch> stretches);
  /// On all ranks together; rank 0 writes.
  void write(Cluster& cluster) const;

 private:
  std::string events(const Cluster& cluster) const;

  /// Some hundred steps of a small model; later spans are left out, with a note.
  static constexpr size_t most_stretches = 200'000;

  std::filesystem::path file_;
  std::vector<Profiler::Stretch> stretches_;
  bool full_ = false;
};

}  // namespace tessera
