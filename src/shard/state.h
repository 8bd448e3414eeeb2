#pragma once
#include <functional>
#include <string>
#include <vector>

#include "device/buffer.h"
#include "job/job.h"
#include "kernels/kernels.h"
#include "shard/layout.h"

namespace tessera {

/// A value per weight that the optimizer keeps between updates.
struct OptimizerState {
  std::string name;  ///< its data set in checkpoints: "exp_avg"
  DType type = DType::f32;
  /// Of the tensors that these cut, an element is a code of 8 bits, and a block has a scale in fp32, its absmax.
  TensorBlocks blocks = {};
};

/// The blocks of the states; those of one optimizer are the same.
TensorBlocks blocks_of(const std::vector<OptimizerState>& states);

/// What a rank holds between steps: its slices of every unit, flat, in the order of the layout: master weights and
/// gradient in fp32, what the optimizer keeps, and in bf16 a copy for compute.  shard.offload says what of it lies in
/// host memory.
struct ShardState {
  /// Zeros.
  ShardState(Device& device, const ShardLayout& layout, int64_t frozen_bytes, DType compute, Offload offload,
             const std::vector<OptimizerState>& states);

  /// The slice in compute precision that all-gathers send; in fp32 the master itself where both lie in one place.
  View weights() const;
  struct OfOptimizer {
    OptimizerState what;
    Buffer values;         ///< of what is not in blocks: [layout.unblocked_size()]
    Buffer codes, absmax;  ///< u8 of each element of the shard; of each block of it.  Empty without blocks
  };
  /// Throws std::logic_error where the optimizer asked for none of that name.
  const OfOptimizer& of_optimizer(const std::string& name) const;

  Memory state_place;                  ///< of master, gradient, and what the optimizer keeps
  Memory weights_place;                ///< of weights()
  Buffer master, gradient;             ///< fp32
  std::vector<OfOptimizer> optimizer;  ///< in the order in which it was asked for
  Buffer compute_weights;              ///< bf16, or a copy on the device of a master that is not there
  Buffer frozen;                       ///< of the frozen band, as StoredLayout says; at weights_place
  int64_t size;                        ///< of the trained band
};

/// Enqueues on `stream` what makes the compute weights of the shard's elements [begin, end), with kernels of the place
/// where the state lies.  `weights` [1, end - begin] is where they belong; in fp32 it may be the master.
using MakeWeights = std::function<void(Kernels& kernels, Stream& stream, int64_t begin, int64_t end, View weights)>;

}  // namespace tessera
