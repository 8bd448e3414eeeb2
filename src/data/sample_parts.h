#pragma once
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "data/format.h"

/// What the formats that put texts one after the other share.
namespace tessera {

inline int32_t eos_of(const Tokenizer& tokenizer) {
  if (const auto eos = tokenizer.eos_id()) return *eos;
  throw DataError("the tokenizer has no eos_token to end a sample with; set one in tokenizer_config.json");
}

enum class Loss { no, yes };

inline void append(Sample& sample, const std::vector<int32_t>& ids, Loss loss) {
  sample.ids.insert(sample.ids.end(), ids.begin(), ids.end());
  if (loss == Loss::yes)
    sample.labels.insert(sample.labels.end(), ids.begin(), ids.end());
  else
    sample.labels.insert(sample.labels.end(), ids.size(), ignored_label);
}

/// `count` EOS tokens in all; none where there is nothing to end.
inline void append_eos(std::vector<int32_t>& ids, int32_t eos, int count = 1) {
  if (ids.empty()) return;
  for (int there = ids.back() == eos ? 1 : 0; there < count; ++there) ids.push_back(eos);
}

}  // namespace tessera
