#include "report/profile_table.h"

#include <fmt/format.h>

#include <vector>

namespace tessera {

std::string profile_table(const PhaseSeconds& phases, int64_t steps, double seconds) {
  struct Row {
    Phase phase;
    const char* meaning;
  };
  const std::vector<Row> rows = {
      {Phase::forward, "compute stream, without the head"},
      {Phase::backward, "compute stream, with head, loss and recomputation"},
      {Phase::optimizer, "compute stream; with shard.offload the CPU, beside it"},
      {Phase::wait, "within these: compute waits for communication"},
      {Phase::gemm, "within these: matrix products"},
      {Phase::attention, "within these"},
      {Phase::loss, "within these: softmax and its gradient"},
      {Phase::elementwise, "within these: norms, rotary, activations, copies, zeroing"},
      {Phase::gather, "communication stream, with waiting for the other ranks"},
      {Phase::reduce, "communication stream, with waiting for the other ranks"},
      {Phase::copy, "shard.offload: between host and device"},
  };
  const double n = static_cast<double>(steps);
  std::string table = fmt::format("{:<12} {:>10} {:>8}\n", "phase", "s/step", "share");
  for (const Row& row : rows) {
    const double spent = phases[static_cast<size_t>(row.phase)];
    table += fmt::format("{:<12} {:>10.4f} {:>7.1f}%  {}\n", name_of(row.phase), spent / n, 100 * spent / seconds,
                         row.meaning);
  }
  return table + fmt::format("{:<12} {:>10.4f} {:>7.1f}%  rank 0, {} steps", "step", seconds / n, 100.0, steps);
}

}  // namespace tessera
