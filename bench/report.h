#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bench/bench.h"

namespace tessera::bench {

void print_heading();
/// What a call moves and computes.
void print_counted(const Measurement& measurement);
/// One line: `ceilings` are those known so far.
void print_line(const Measurement& measurement, const Ceilings& ceilings);

struct Report {
  std::string device;  ///< in words
  Sizes sizes;
  std::optional<Ceilings> ceilings;  ///< none where calls are counted only
  std::vector<Measurement> kernels;
};

/// {"device", "sizes": {"C", …, "loss_rows", "shard"}, "copy_bytes_per_second", "gemm_flops_per_second": {"bf16",
/// "f32"}, "launch_seconds", "kernels": [{"name", "call", "shape", "dtype", "bytes", "flops", "seconds",
/// "bound_seconds", "fraction_of_bound"}]}; where calls are counted only, without all that is measured.  Who reads the
/// file finds this report or the one before it, whole.  Throws DataError where it cannot be written.
void write_json(const std::filesystem::path& path, const Report& report);

}  // namespace tessera::bench
