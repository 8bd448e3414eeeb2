#include "bench/report.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace tessera::bench {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Sizes& sizes) {
  Json json = {{"loss_rows", sizes.loss_rows}, {"shard", sizes.shard}};
  for (const auto& [letter, size] : lettered_sizes()) json[letter] = sizes.*size;
  return json;
}

Json json_of(const Ceilings& ceilings) {
  return {{"copy_bytes_per_second", ceilings.copy_bytes_per_second},
          {"gemm_flops_per_second", {{"bf16", ceilings.bf16_flops_per_second}, {"f32", ceilings.f32_flops_per_second}}},
          {"launch_seconds", ceilings.launch_seconds}};
}

Json json_of(const Measurement& m, const std::optional<Ceilings>& ceilings) {
  Json json = {{"name", m.name},   {"call", m.call},   {"shape", m.shape},
               {"dtype", m.dtype}, {"bytes", m.bytes}, {"flops", m.flops}};
  if (!ceilings) return json;
  const double bound = ceilings->bound_seconds(m);
  json.update({{"seconds", m.seconds}, {"bound_seconds", bound}, {"fraction_of_bound", bound / m.seconds}});
  return json;
}

}  // namespace

void print_heading() {
  fmt::print("{:<24}{:<54}{:>5}{:>12}{:>10}{:>11}{:>9}\n", "kernel", "shape", "type", "ms", "GB/s", "GFLOP/s",
             "of bound");
}

void print_counted(const Measurement& m) {
  fmt::print("{:<24}{:<54}{:>5}{:>16.0f} bytes{:>18.0f} FLOP\n", m.name, m.shape, m.dtype, m.bytes, m.flops);
}

void print_line(const Measurement& m, const Ceilings& ceilings) {
  fmt::print("{:<24}{:<54}{:>5}{:>12.4f}{:>10.1f}", m.name, m.shape, m.dtype, m.seconds * 1e3,
             m.bytes / m.seconds * 1e-9);
  fmt::print("{:>11}", m.flops > 0 ? fmt::format("{:.1f}", m.flops / m.seconds * 1e-9) : "");
  fmt::print("{:>8.1f}%\n", 100 * ceilings.bound_seconds(m) / m.seconds);
  std::fflush(stdout);
}

void write_json(const std::filesystem::path& path, const Report& report) {
  Json json = {{"device", report.device}, {"sizes", json_of(report.sizes)}};
  if (report.ceilings) json.update(json_of(*report.ceilings));
  json["kernels"] = Json::array();
  for (const Measurement& m : report.kernels) json["kernels"].push_back(json_of(m, report.ceilings));
  const std::filesystem::path unfinished = path.string() + ".part";
  std::ofstream file(unfinished);
  file << json.dump(2) << '\n';
  file.close();
  std::error_code failed;
  if (file) std::filesystem::rename(unfinished, path, failed);
  if (!file || failed) throw DataError("{}: the report cannot be written there", path.string());
}

}  // namespace tessera::bench
