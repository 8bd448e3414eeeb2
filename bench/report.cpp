#include "bench/report.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace tessera::bench {

void print_heading() {
  fmt::print("{:<24}{:<46}{:>5}{:>12}{:>10}{:>11}{:>9}\n", "kernel", "shape", "type", "ms", "GB/s", "GFLOP/s",
             "of bound");
}

void print_line(const Measurement& m, const Ceilings& ceilings) {
  fmt::print("{:<24}{:<46}{:>5}{:>12.4f}{:>10.1f}", m.name, m.shape, m.dtype, m.seconds * 1e3,
             m.bytes / m.seconds * 1e-9);
  fmt::print("{:>11}", m.flops > 0 ? fmt::format("{:.1f}", m.flops / m.seconds * 1e-9) : "");
  fmt::print("{:>8.1f}%\n", 100 * ceilings.bound_seconds(m) / m.seconds);
  std::fflush(stdout);
}

void write_json(const std::filesystem::path& path, const std::string& device, const Ceilings& ceilings,
                const std::vector<Measurement>& measurements) {
  using Json = nlohmann::ordered_json;
  Json kernels = Json::array();
  for (const Measurement& m : measurements) {
    const double bound = ceilings.bound_seconds(m);
    kernels.push_back({{"name", m.name},
                       {"shape", m.shape},
                       {"dtype", m.dtype},
                       {"seconds", m.seconds},
                       {"bytes", m.bytes},
                       {"flops", m.flops},
                       {"bound_seconds", bound},
                       {"fraction_of_bound", bound / m.seconds}});
  }
  const Json report = {
      {"device", device},
      {"copy_bytes_per_second", ceilings.copy_bytes_per_second},
      {"gemm_flops_per_second", {{"bf16", ceilings.bf16_flops_per_second}, {"f32", ceilings.f32_flops_per_second}}},
      {"kernels", kernels}};
  const std::filesystem::path unfinished = path.string() + ".part";
  std::ofstream file(unfinished);
  file << report.dump(2) << '\n';
  file.close();
  std::error_code failed;
  if (file) std::filesystem::rename(unfinished, path, failed);
  if (!file || failed) throw DataError("{}: the report cannot be written there", path.string());
}

}  // namespace tessera::bench
