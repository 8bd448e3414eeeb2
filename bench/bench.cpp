#include "bench/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tessera::bench {

std::string key_of(DType dtype) { return dtype == DType::bf16 ? "bf16" : "f32"; }

double Ceilings::bound_seconds(const Measurement& m) const {
  const double peak = m.dtype == key_of(DType::bf16) ? bf16_flops_per_second : f32_flops_per_second;
  return std::max(m.bytes / copy_bytes_per_second, m.flops / peak);
}

Bench::Bench(Device& device, const Sizes& sizes, Work work, std::function<void(const Measurement&)> reported)
    : device_(device),
      s_(sizes),
      work_(work),
      reported_(std::move(reported)),
      kernels_(make_kernels(device)),
      stream_(device.make_stream("bench")),
      begin_(device.make_timestamp()),
      end_(device.make_timestamp()),
      random_(device, *kernels_) {
  if (work_ == Work::counted) return;
  for (const DType dtype : {DType::bf16, DType::f32})
    kernels_->reserve({s_.T, s_.C, s_.H, s_.G, s_.D, s_.F, s_.longest, s_.shard, dtype});
}

Measurement Bench::measure(const Called& called, const std::string& shape, DType dtype, double flops,
                           const Make& make) {
  Measurement made{called.name, called.call, called.call.empty() ? shape : called.call + " " + shape, key_of(dtype), 0,
                   0,           flops};
  if (work_ == Work::counted) {
    Operands operands;
    make(operands);
    made.bytes = static_cast<double>(operands.bytes_moved());
    reported_(made);
    return made;
  }
  std::vector<std::unique_ptr<Operands>> operands;
  std::vector<Call> calls;
  int64_t held = 0;
  do {
    operands.push_back(std::make_unique<Operands>(device_, *stream_, random_));
    calls.push_back(make(*operands.back()));
    held += operands.back()->bytes_held();
  } while (held < s_.beyond_caches && operands.back()->bytes_held() > 0);
  made.seconds = seconds_of(calls);
  made.bytes = static_cast<double>(operands.front()->bytes_moved());
  reported_(made);
  return made;
}

double Bench::timed(const std::vector<Call>& calls, int64_t runs) {
  begin_->record(*stream_);
  for (int64_t run = 0; run < runs; ++run) calls[static_cast<size_t>(run) % calls.size()]();
  end_->record(*stream_);
  stream_->synchronize();
  return end_->seconds_since(*begin_) / static_cast<double>(runs);
}

double Bench::seconds_of(const std::vector<Call>& calls) {
  constexpr int samples = 7;
  const auto all = static_cast<int64_t>(calls.size());
  timed(calls, all);  // what is made once: workspaces, choices of libraries
  const double estimate = std::max(timed(calls, all), 1e-7);
  if (estimate > s_.seconds) return estimate;
  const auto runs = std::clamp<int64_t>(static_cast<int64_t>(s_.seconds / samples / estimate), 1, 100 * all);
  const int taken = std::clamp(static_cast<int>(s_.seconds / (estimate * static_cast<double>(runs))), 3, samples);
  std::vector<double> seconds(static_cast<size_t>(taken));
  for (double& sample : seconds) sample = timed(calls, runs);
  std::nth_element(seconds.begin(), seconds.begin() + taken / 2, seconds.end());
  return seconds[static_cast<size_t>(taken / 2)];
}

Ceilings Bench::measure_ceilings() {
  Ceilings found;
  const Measurement copy = measure({"copy"}, fmt::format("{} MiB", s_.copied >> 20), DType::f32, 0, [&](Operands& o) {
    const View from = o.input(DType::f32, 1, s_.copied / 4), to = o.output(DType::f32, 1, s_.copied / 4);
    return [=, this] { kernels_->memory.copy(*stream_, from.data, to.data, from.bytes()); };
  });
  found.copy_bytes_per_second = copy.bytes / copy.seconds;
  for (const DType dtype : {DType::bf16, DType::f32}) {
    const int64_t n = s_.square;
    const double flops = 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
    const Measurement square = measure(
        {"linear_forward", "square"}, fmt::format("[{0}, {0}] -> [{0}, {0}]", n), dtype, flops, [&](Operands& o) {
          const View x = o.input(dtype, n, n), w = o.input(dtype, n, n), y = o.output(dtype, n, n);
          return [=, this] { kernels_->linear.forward(*stream_, x, w, {}, {}, y); };
        });
    (dtype == DType::bf16 ? found.bf16_flops_per_second : found.f32_flops_per_second) = flops / square.seconds;
  }
  found.launch_seconds = launch_seconds();
  return found;
}

double Bench::launch_seconds() {
  Operands o(device_, *stream_, random_);
  const View from = o.input(DType::bf16, 1, 1), to = o.output(DType::f32, 1, 1);
  return seconds_of({[=, this] { kernels_->memory.cast(*stream_, from, to); }});
}

}  // namespace tessera::bench
