#pragma once
#include <cstdint>
#include <vector>

#include "kernels/kernels.h"
#include "model/activations.h"
#include "model/units.h"

/// The parts of a layer.  A part is made of its description and its unit, keeps places in the unit and slots of the
/// activations, and has no state of its own: forward and backward passes get all they work on, and enqueue kernels on
/// one stream.  Each backward pass is its forward pass's list read upward.
namespace tessera {

/// cos and sin of a table of rotary positions: [T, width/2], from rope_table.
struct RotaryTable {
  int64_t width = 0;  ///< columns of a head that turn
  const float* cos = nullptr;
  const float* sin = nullptr;
};

/// The flat documents of a batch on the device, as every layer reads them.
struct Documents {
  int64_t T = 0;
  const int32_t* cu_seqlens = nullptr;  ///< host memory
  int64_t N = 0;
  const int32_t* cu_seqlens_on_device = nullptr;
  std::vector<RotaryTable> rotary;  ///< in the order of ModelSpec::rotary
  /// [T] on the device: the number of the sample that a token is of, and its place there.
  const int32_t *samples = nullptr, *positions = nullptr;
};

/// What dropout is a function of, beside the element.
struct DropoutStep {
  int64_t seed = 0, step = 0;  ///< step 0: nothing is dropped

  explicit operator bool() const { return step > 0; }
};

/// What a layer's forward pass works with.
struct Pass {
  Kernels& kernels;
  Stream& stream;
  const Documents& documents;
  FlatUnit weights;
  DropoutStep dropout = {};
};

/// And its backward pass.
struct BackwardPass : Pass {
  FlatUnit gradients;
  Write matrices = Write::accumulate;  ///< of the matrices' gradients; those of norms and biases are always added
};

}  // namespace tessera
