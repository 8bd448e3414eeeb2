#include "model/rotary_tables.h"

#include <algorithm>

namespace tessera {

RotaryTables::RotaryTables(Device& device, const ModelSpec& model, int64_t max_T) {
  for (const RotarySpec& rotary : model.rotary) {
    const bool two = rotary.type == RopeType::longrope;
    tables_.push_back({rotary_frequencies(rotary), two ? rotary_frequencies(rotary, true) : RotaryFrequencies{},
                       two ? static_cast<int64_t>(rotary.original_max_position_embeddings) : 0, rotary.width,
                       Buffer(device, DType::f32, max_T, rotary.width / 2, "rotary tables"),
                       Buffer(device, DType::f32, max_T, rotary.width / 2, "rotary tables")});
  }
}

void RotaryTables::Table::fill(Kernels& kernels, Stream& stream, const int32_t* positions, int64_t begin, int64_t end,
                               bool long_documents) const {
  const RotaryFrequencies& f = long_documents ? of_long_documents : frequencies;
  const int64_t half = width / 2;
  kernels.rotary.rope_table(stream, positions + begin, end - begin, f.inv_freq.data(), half, f.scale,
                            cos.as<float>() + begin * half, sin.as<float>() + begin * half);
}

std::vector<RotaryTable> RotaryTables::fill(Kernels& kernels, Stream& stream, const int32_t* positions,
                                            const Documents& documents, int64_t first_position) const {
  std::vector<RotaryTable> filled;
  for (const Table& table : tables_) {
    const int32_t* const begin = documents.cu_seqlens;
    const auto is_long = [&](int64_t n) { return table.is_long(first_position + begin[n + 1] - begin[n]); };
    for (int64_t n = 0; n < documents.N;) {  // neighbours of one kind together
      int64_t end = n + 1;
      while (end < documents.N && is_long(end) == is_long(n)) ++end;
      table.fill(kernels, stream, positions, begin[n], begin[end], is_long(n));
      n = end;
    }
    filled.push_back({table.width, table.cos.as<float>(), table.sin.as<float>()});
  }
  return filled;
}

bool RotaryTables::change_between(int64_t length, int64_t longer) const {
  return std::any_of(tables_.begin(), tables_.end(),
                     [&](const Table& table) { return table.is_long(length) != table.is_long(longer); });
}

}  // namespace tessera
