#include <fmt/format.h>

#include "bench/bench.h"

namespace tessera::bench {

void Bench::measure_shard(DType dtype) {
  const int64_t n = s_.shard;
  const std::string shape = fmt::format("[{}]", n);
  measure({"adamw"}, shape, dtype, 0, [&](Operands& o) {
    auto* const master = o.updated(DType::f32, 1, n).as<float>();
    auto* const exp_avg = o.updated(DType::f32, 1, n).as<float>();
    auto* const exp_avg_sq = o.updated(DType::f32, 1, n, Numbers::positive).as<float>();
    const auto* const gradient = o.input(DType::f32, 1, n).as<float>();
    const View weights = dtype == DType::f32 ? View() : o.output(dtype, 1, n);  // fp32 weights are the master
    const AdamWStep step{1e-3f, 0.9, 0.999, 1e-8f, 0.1f, 0.1f, 0.001f, 1};
    return [=, this] { kernels_->optimizer.adamw(*stream_, step, n, master, exp_avg, exp_avg_sq, gradient, weights); };
  });
  measure({"adamw_8bit"}, shape, dtype, 0, [&](Operands& o) {
    const auto state = [&] {
      return BlockState{o.array(std::vector<uint8_t>(static_cast<size_t>(n), 200)),
                        o.array(std::vector<float>(static_cast<size_t>((n + state_block - 1) / state_block), 1e-3f))};
    };
    auto* const master = o.updated(DType::f32, 1, n).as<float>();
    const BlockState exp_avg = state(), exp_avg_sq = state();
    const auto* const gradient = o.input(DType::f32, 1, n).as<float>();
    const View weights = dtype == DType::f32 ? View() : o.output(dtype, 1, n);
    const AdamWStep step{1e-3f, 0.9, 0.999, 1e-8f, 0.1f, 0.1f, 0.001f, 1};
    return [=, this] {
      kernels_->optimizer.adamw_8bit(*stream_, step, n, master, exp_avg, exp_avg_sq, gradient, weights);
    };
  });
  if (dtype == DType::f32) {
    measure({"squared_norm"}, shape, dtype, 0, [&](Operands& o) {
      const auto* const x = o.input(DType::f32, 1, n).as<float>();
      auto* const sum = o.array(std::vector<double>{0});
      return [=, this] { kernels_->optimizer.squared_norm(*stream_, x, n, sum); };
    });
    return;
  }
  for (const DType from_type : {DType::f32, dtype}) {
    const DType to_type = from_type == dtype ? DType::f32 : dtype;
    const std::string direction = fmt::format("from {} to {}", key_of(from_type), key_of(to_type));
    measure({"cast", direction}, shape, dtype, 0, [&](Operands& o) {
      const View from = o.input(from_type, 1, n), to = o.output(to_type, 1, n);
      return [=, this] { kernels_->memory.cast(*stream_, from, to); };
    });
  }
}

}  // namespace tessera::bench
