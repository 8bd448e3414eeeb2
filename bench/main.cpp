#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "bench/bench.h"
#include "bench/report.h"

// bench_kernels: how near each kernel comes to what the device can do.
namespace tessera::bench {
namespace {

struct Options {
  std::string device = "cpu", json;
  int64_t tokens = 0;
  int threads = 1;
  bool quick = false;
};

Options parse_options(int argc, char** argv, CLI::App& app) {
  Options options;
  app.add_option("--device", options.device, "cpu or cuda (the first GPU)")->check(CLI::IsMember({"cpu", "cuda"}));
  app.add_option("--tokens", options.tokens, "of a micro-batch")->check(CLI::PositiveNumber);
  app.add_option("--threads", options.threads, "of the cpu")->check(CLI::PositiveNumber);
  app.add_option("--json", options.json, "a file to write the measurements to, anew after each");
  app.add_flag("--quick", options.quick, "on a GPU fewer repetitions, on a CPU tiny shapes");
  app.parse(argc, argv);
  return options;
}

std::unique_ptr<Device> open_device(const Options& options) {
  if (options.device == "cpu") return make_cpu_device(options.threads);
  if (find_gpus().empty()) throw ClusterError("there is no GPU here that CUDA_VISIBLE_DEVICES leaves to this program");
  return make_cuda_device(0);
}

void run(const Options& options) {
  const std::unique_ptr<Device> device = open_device(options);
  Sizes sizes = sizes_for(device->kind(), options.quick);
  if (options.tokens > 0) sizes.T = options.tokens;
  sizes.loss_rows = std::min(sizes.loss_rows, sizes.T);

  std::vector<Measurement> measurements;
  std::optional<Ceilings> ceilings;
  Bench bench(*device, sizes, [&](const Measurement& made) {
    measurements.push_back(made);
    if (!ceilings) return;
    print_line(made, *ceilings);
    if (!options.json.empty()) write_json(options.json, device->description(), *ceilings, measurements);
  });
  ceilings = bench.measure_ceilings();
  const Ceilings& c = *ceilings;
  fmt::print("{}: copies {:.1f} GB/s (read and written), products {:.1f} GFLOP/s in bf16, {:.1f} in f32\n",
             device->description(), c.copy_bytes_per_second * 1e-9, c.bf16_flops_per_second * 1e-9,
             c.f32_flops_per_second * 1e-9);
  print_heading();
  for (const Measurement& made : measurements) print_line(made, c);
  for (const DType dtype : {DType::bf16, DType::f32}) {
    bench.measure_matrix_products(dtype);
    bench.measure_attention(dtype);
    bench.measure_rows(dtype);
    bench.measure_vocabulary(dtype);
    bench.measure_shard(dtype);
  }
  bench.measure_without_type();
  fmt::print("device memory at most {:.1f} MB\n", static_cast<double>(device->peak_bytes()) * 1e-6);
}

}  // namespace
}  // namespace tessera::bench

int main(int argc, char** argv) {
  using tessera::ExitCode;
  CLI::App app("bench_kernels: the time of each kernel beside what the device's memory and matrix units allow");
  tessera::log::set_up("", true);
  try {
    tessera::bench::run(tessera::bench::parse_options(argc, argv, app));
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    tessera::log::error("{}; see bench_kernels --help", e.what());
    return static_cast<int>(ExitCode::wrong_job);
  } catch (const tessera::Error& e) {
    tessera::log::error("{}", e.what());
    return static_cast<int>(e.code());
  }
  return 0;
}
