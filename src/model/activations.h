#pragma once
#include <cstdint>
#include <vector>

#include "base/amount.h"
#include "device/buffer.h"
#include "job/job.h"
#include "kernels/kernels.h"

/// Activation memory of a rank.  Each part of a layer says what it needs (a slot), and by gradient_checkpointing a slot
/// has memory of its own in every layer, or one place serves all layers.
namespace tessera {

enum class Keep {
  always,       ///< a layer's own: attention's output, which costs most to compute again where documents are long
  unless_full,  ///< a layer's own but under `full`, where the backward pass fills it again
  with_none,    ///< a layer's own under `none` alone: the norms' outputs, which `selective` computes again as well
  never,        ///< one place for all layers: what one pass over a layer fills and reads
  gradient,     ///< the same, in a backward pass
};

/// One place in a layer's activations, by its number.
struct Slot {
  int number = -1;
  explicit operator bool() const { return number >= 0; }
};

/// The slots of one layer.
class SlotList {
 public:
  explicit SlotList(DType compute) : compute_(compute) {}

  enum class Reader { any, attention };  ///< attention's kernels read behind the last row (attention_spare_rows)
  /// [T, columns] of the compute type, or floats.
  Slot add(int64_t columns, Keep keep, Reader reader = Reader::any) { return add({columns, compute_, keep, reader}); }
  Slot add_floats(int64_t columns, Keep keep, Reader reader = Reader::any) {
    return add({columns, DType::f32, keep, reader});
  }

  /// Floats [rows, columns], whatever the batch: what is made of weights.
  Slot add_fixed(int64_t rows, int64_t columns) { return add({columns, DType::f32, Keep::never, Reader::any, rows}); }

  struct Entry {
    int64_t columns;
    DType dtype;
    Keep keep;
    Reader reader;
    int64_t rows = 0;  ///< 0: the batch's tokens
  };
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  Slot add(const Entry& entry) {
    entries_.push_back(entry);
    return {static_cast<int>(entries_.size()) - 1};
  }
  DType compute_;
  std::vector<Entry> entries_;
};

/// A layer's slots for the tokens of one batch.
class LayerActivations {
 public:
  LayerActivations(View input_, std::vector<View> slots) : input(input_), slots_(std::move(slots)) {}
  View operator[](Slot slot) const { return slots_[static_cast<size_t>(slot.number)]; }

  View input;  ///< [T, C]: the residual stream that enters the layer

 private:
  std::vector<View> slots_;
};

/// What the passes of a model keep.
struct ActivationSizes {
  int64_t C = 0, max_T = 0;
  DType compute = DType::f32;
  Checkpointing checkpointing = Checkpointing::full;
  bool trains = true;  ///< false: no backward pass, so every layer uses the same memory
};

/// All activation memory of a rank, made once for the largest micro-batch.
class ActivationStore {
 public:
  ActivationStore(Device& device, const ActivationSizes& sizes, const std::vector<const SlotList*>& layers);

  /// [T, C]: the residual stream that enters layer `layer`; hidden(L) is what the last one gives.
  View hidden(int64_t layer, int64_t T) const;
  /// Where layer `layer` puts what its backward pass reads.
  LayerActivations layer(int64_t layer, int64_t T) const;
  /// [T, C]: the gradient that travels down the residual stream.
  View residual_gradient(int64_t T) const { return residual_gradient_.view(T); }

  int64_t max_tokens() const { return sizes_.max_T; }

 private:
  Buffer make(Device& device, const SlotList::Entry& entry) const;

  ActivationSizes sizes_;
  std::vector<SlotList> layers_;
  std::vector<Buffer> hidden_;
  std::vector<std::vector<Buffer>> own_;  // by layer and slot; empty where the slot is shared
  std::vector<Buffer> shared_;            // by slot: as large as the layer that wants most
  Buffer residual_gradient_;
};

}  // namespace tessera
