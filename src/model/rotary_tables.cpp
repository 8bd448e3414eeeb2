#include "model/rotary_tables.h"

namespace tessera {

RotaryTables::RotaryTables(Device& device, const ModelSpec& model, int64_t max_T) {
  for (const RotarySpec& rotary : model.rotary)
    tables_.push_back({rotary_frequencies(rotary), Buffer(device, DType::f32, max_T, rotary.width / 2, "rotary tables"),
                       Buffer(device, DType::f32, max_T, rotary.width / 2, "rotary tables")});
}

std::vector<RotaryTable> RotaryTables::fill(Kernels& kernels, Stream& stream, const int32_t* positions,
                                            int64_t T) const {
  std::vector<RotaryTable> filled;
  for (const Table& table : tables_) {
    const std::vector<float>& inv_freq = table.frequencies.inv_freq;
    kernels.rotary.rope_table(stream, positions, T, inv_freq.data(), static_cast<int64_t>(inv_freq.size()),
                              table.frequencies.scale, table.cos.as<float>(), table.sin.as<float>());
    filled.push_back({table.cos.as<float>(), table.sin.as<float>()});
  }
  return filled;
}

Amount RotaryTables::bytes(const ModelSpec& model, int64_t max_T) {
  int64_t columns = 0;
  for (const RotarySpec& rotary : model.rotary) columns += 2 * (rotary.width / 2);
  return Amount(max_T) * columns * size_of(DType::f32);
}

}  // namespace tessera
