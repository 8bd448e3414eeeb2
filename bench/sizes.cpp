#include "bench/sizes.h"

#include <algorithm>

#include "model/head.h"

namespace tessera::bench {

const std::map<std::string, int64_t Sizes::*>& lettered_sizes() {
  static const std::map<std::string, int64_t Sizes::*> sizes = {
      {"C", &Sizes::C}, {"H", &Sizes::H}, {"G", &Sizes::G}, {"D", &Sizes::D},
      {"F", &Sizes::F}, {"V", &Sizes::V}, {"T", &Sizes::T}, {"longest", &Sizes::longest}};
  return sizes;
}

Sizes sizes_for(DeviceKind kind, bool quick, const OtherSizes& others) {
  Sizes sizes = kind == DeviceKind::cuda ? llama_1b : quick ? tiny : smollm2_135m;
  if (kind == DeviceKind::cuda && quick) sizes.seconds = 0.02;
  for (const auto& [letter, size] : others) sizes.*lettered_sizes().at(letter) = size;
  sizes.longest = std::min(sizes.longest, sizes.T);
  sizes.loss_rows = std::min(loss_chunk(kind, sizes.V, sizes.T), sizes.T);
  return sizes;
}

}  // namespace tessera::bench
