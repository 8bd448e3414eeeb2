#include "model/spec.h"

#include <set>

namespace tessera {

std::vector<int64_t> distinct_windows(const ModelSpec& model) {
  std::set<int64_t> windows;
  for (const LayerSpec& layer : model.layers) windows.insert(layer.attention.window);
  return {windows.begin(), windows.end()};
}

}  // namespace tessera
