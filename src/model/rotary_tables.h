#pragma once
#include <vector>

#include "base/amount.h"
#include "device/buffer.h"
#include "model/parts/pass.h"

namespace tessera {

/// cos and sin of a batch's positions, for each of a model's tables.
class RotaryTables {
 public:
  RotaryTables(Device& device, const ModelSpec& model, int64_t max_T);

  /// Enqueues the tables of T positions; they are overwritten by the next batch's.
  std::vector<RotaryTable> fill(Kernels& kernels, Stream& stream, const int32_t* positions, int64_t T) const;

  static Amount bytes(const ModelSpec& model, int64_t max_T);

 private:
  struct Table {
    RotaryFrequencies frequencies;
    Buffer cos, sin;
  };
  std::vector<Table> tables_;
};

}  // namespace tessera
