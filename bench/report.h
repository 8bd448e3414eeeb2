#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "bench/bench.h"

namespace tessera::bench {

void print_heading();
/// One line: `ceilings` are those known so far.
void print_line(const Measurement& measurement, const Ceilings& ceilings);

/// {"device", "copy_bytes_per_second", "gemm_flops_per_second": {"bf16", "f32"}, "kernels": [{"name", "shape", "dtype",
/// "seconds", "bytes", "flops", "bound_seconds", "fraction_of_bound"}]}.  Who reads the file finds this report or
/// the one before it, whole.  Throws DataError where it cannot be written.
void write_json(const std::filesystem::path& path, const std::string& device, const Ceilings& ceilings,
                const std::vector<Measurement>& measurements);

}  // namespace tessera::bench
