#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "model/units.h"

namespace tessera {

/// Bytes of a unit, from its beginning.
struct Segment {
  int64_t begin = 0, bytes = 0;
};

/// A frozen tensor as it is kept and sent: its elements in the compute type; or codes with the absmax of their blocks,
/// which may be in 8 bits themselves, with scales and a mean.
struct StoredTensor {
  const TensorSpec* tensor = nullptr;
  Segment elements;                    ///< or codes
  Segment absmax, absmax_codes, mean;  ///< of a quantised one; absmax: in fp32, or the scales of those in 8 bits
};

/// The frozen band of a unit as the ranks of a group keep it: its bytes are padded to a multiple of ranks × 256 and cut
/// into equal slices; this rank's slices of all units lie behind one another.
struct StoredUnit {
  UnitSpec spec;
  std::vector<StoredTensor> tensors;
  int64_t padded = 0;   ///< bytes of the gathered unit
  int64_t slice = 0;    ///< bytes that each rank keeps
  int64_t begin = 0;    ///< where this rank's slice lies in its shard
  bool packed = false;  ///< has a quantised tensor: kernels read what is made of it
};

class StoredLayout {
 public:
  StoredLayout(const ModelSpec& model, DType compute, int ranks);
  StoredLayout(const StoredLayout&) = delete;
  StoredLayout& operator=(const StoredLayout&) = delete;

  const std::vector<StoredUnit>& units() const { return units_; }
  int64_t size() const { return size_; }  ///< bytes of the shard
  DType compute() const { return compute_; }

 private:
  DType compute_;
  std::vector<StoredUnit> units_;
  int64_t size_ = 0;
};

/// Enqueues what makes the compute weights [unit.spec.size(Band::frozen)] of a whole unit's bytes.
void unpack(Kernels& kernels, Stream& stream, const StoredUnit& unit, const void* stored, void* weights, DType compute);

}  // namespace tessera
