#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "bench/bench.h"
#include "bench/report.h"

// bench_kernels: how near each kernel comes to what the device can do.
namespace tessera::bench {
namespace {

struct Options {
  std::string device = "cpu", json;
  OtherSizes sizes;
  int threads = 1;
  bool quick = false, count = false, ceilings = false;
};

Options parse_options(int argc, char** argv, CLI::App& app) {
  Options options;
  app.add_option("--device", options.device, "cpu or cuda (the first GPU)")->check(CLI::IsMember({"cpu", "cuda"}));
  for (const auto& [letter, size] : lettered_sizes())
    app.add_option_function<int64_t>((letter.size() == 1 ? "-" : "--") + letter,
                                     [&options, letter = letter](int64_t value) { options.sizes[letter] = value; },
                                     "another size than the model's that is measured, as kernels.h calls it")
        ->check(CLI::PositiveNumber);
  app.add_option("--threads", options.threads, "of the cpu")->check(CLI::PositiveNumber);
  app.add_option("--json", options.json, "a file to write the measurements to, anew after each");
  app.add_flag("--quick", options.quick, "on a GPU fewer repetitions, on a CPU tiny shapes");
  app.add_flag("--count", options.count, "measure nothing: only what each call has to move and to compute")
      ->excludes(app.add_flag("--ceilings", options.ceilings, "measure only what the device can do"));
  app.parse(argc, argv);
  return options;
}

std::unique_ptr<Device> open_device(const Options& options) {
  if (options.device == "cpu" || options.count) return make_cpu_device(options.threads);
  if (find_gpus().empty()) throw ClusterError("there is no GPU here that CUDA_VISIBLE_DEVICES leaves to this program");
  return make_cuda_device(0);
}

void measure_kernels(Bench& bench) {
  for (const DType dtype : {DType::bf16, DType::f32}) {
    bench.measure_matrix_products(dtype);
    bench.measure_attention(dtype);
    bench.measure_rows(dtype);
    bench.measure_vocabulary(dtype);
    bench.measure_shard(dtype);
    bench.measure_adapter(dtype);
  }
  bench.measure_without_type();
}

void count(const Options& options, Device& device, Report report) {
  Bench bench(device, report.sizes, Work::counted, [&](const Measurement& made) { report.kernels.push_back(made); });
  measure_kernels(bench);
  for (const Measurement& made : report.kernels) print_counted(made);
  if (!options.json.empty()) write_json(options.json, report);
}

void measure(const Options& options, Device& device, Report report) {
  Bench bench(device, report.sizes, Work::measured, [&](const Measurement& made) {
    report.kernels.push_back(made);
    if (!report.ceilings) return;
    print_line(made, *report.ceilings);
    if (!options.json.empty()) write_json(options.json, report);
  });
  report.ceilings = bench.measure_ceilings();
  const Ceilings& c = *report.ceilings;
  fmt::print(
      "{}: copies {:.1f} GB/s (read and written), products {:.1f} GFLOP/s in bf16, {:.1f} in f32, "
      "a launch {:.1f} us\n",
      report.device, c.copy_bytes_per_second * 1e-9, c.bf16_flops_per_second * 1e-9, c.f32_flops_per_second * 1e-9,
      c.launch_seconds * 1e6);
  print_heading();
  for (const Measurement& made : report.kernels) print_line(made, c);
  if (!options.json.empty()) write_json(options.json, report);
  if (!options.ceilings) measure_kernels(bench);
  fmt::print("device memory at most {:.1f} MB\n", static_cast<double>(device.peak_bytes()) * 1e-6);
}

void run(const Options& options) {
  const std::unique_ptr<Device> device = open_device(options);
  const DeviceKind kind = options.device == "cuda" ? DeviceKind::cuda : DeviceKind::cpu;
  const Report report{device->description(), sizes_for(kind, options.quick, options.sizes), {}, {}};
  (options.count ? count : measure)(options, *device, report);
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
