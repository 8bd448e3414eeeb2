#include "model/activations.h"

#include <algorithm>

namespace tessera {
namespace {

constexpr const char* purpose = "activations";

bool has_own_memory(const ActivationSizes& sizes, Keep keep) {
  if (!sizes.trains) return false;
  switch (keep) {
    case Keep::always:
      return true;
    case Keep::unless_full:
      return sizes.checkpointing != Checkpointing::full;
    case Keep::with_none:
      return sizes.checkpointing == Checkpointing::none;
    case Keep::never:
    case Keep::gradient:
      break;
  }
  return false;
}

bool is_used(const ActivationSizes& sizes, const SlotList::Entry& entry) {
  return entry.columns > 0 && (sizes.trains || entry.keep != Keep::gradient);
}

Amount rows_of(DeviceKind device, const ActivationSizes& sizes, const SlotList::Entry& entry) {
  if (entry.rows > 0) return entry.rows;
  return Amount(sizes.max_T) +
         (entry.reader == SlotList::Reader::attention ? attention_spare_rows(device) : int64_t{0});
}

Amount bytes_of(DeviceKind device, const ActivationSizes& sizes, const SlotList::Entry& entry) {
  return rows_of(device, sizes, entry) * entry.columns * size_of(entry.dtype);
}

/// For each slot that layers share, by its number, the largest of theirs; no columns where none shares it.
std::vector<SlotList::Entry> shared_entries(DeviceKind device, const ActivationSizes& sizes,
                                            const std::vector<const SlotList*>& layers) {
  std::vector<SlotList::Entry> shared;
  for (const SlotList* const layer : layers)
    for (size_t i = 0; i < layer->entries().size(); ++i) {
      if (i >= shared.size()) shared.push_back({0, DType::f32, Keep::never, SlotList::Reader::any});
      const SlotList::Entry& entry = layer->entries()[i];
      if (!is_used(sizes, entry) || has_own_memory(sizes, entry.keep)) continue;
      if (bytes_of(device, sizes, entry) > bytes_of(device, sizes, shared[i])) shared[i] = entry;
    }
  return shared;
}

}  // namespace

ActivationStore::ActivationStore(Device& device, const ActivationSizes& sizes,
                                 const std::vector<const SlotList*>& layers)
    : sizes_(sizes) {
  const size_t streams = sizes.trains ? layers.size() + 1 : 2;
  for (size_t i = 0; i < streams; ++i) hidden_.emplace_back(device, sizes.compute, sizes.max_T, sizes.C, purpose);
  for (const SlotList* const layer : layers) {
    layers_.push_back(*layer);
    std::vector<Buffer>& own = own_.emplace_back(layer->entries().size());
    for (size_t i = 0; i < own.size(); ++i)
      if (has_own_memory(sizes, layer->entries()[i].keep)) own[i] = make(device, layer->entries()[i]);
  }
  for (const SlotList::Entry& entry : shared_entries(device.kind(), sizes, layers))
    shared_.push_back(make(device, entry));
  if (sizes.trains) residual_gradient_ = Buffer(device, sizes.compute, sizes.max_T, sizes.C, purpose);
}

/// What attention reads ends in its spare rows, zeroed.
Buffer ActivationStore::make(Device& device, const SlotList::Entry& entry) const {
  Buffer buffer(device, entry.dtype, rows_of(device.kind(), sizes_, entry).value(), entry.columns, purpose);
  if (entry.reader == SlotList::Reader::attention && attention_spare_rows(device.kind()) > 0) buffer.set_zero();
  return buffer;
}

View ActivationStore::hidden(int64_t layer, int64_t T) const {
  return hidden_[static_cast<size_t>(layer) % hidden_.size()].view(T);
}

LayerActivations ActivationStore::layer(int64_t layer, int64_t T) const {
  const auto number = static_cast<size_t>(layer);
  const std::vector<SlotList::Entry>& entries = layers_[number].entries();
  std::vector<View> slots;
  slots.reserve(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    const Buffer& buffer = own_[number][i].data() != nullptr ? own_[number][i] : shared_[i];
    slots.emplace_back(buffer.data(), entries[i].dtype, entries[i].rows > 0 ? entries[i].rows : T, entries[i].columns);
  }
  return {hidden(layer, T), std::move(slots)};
}

}  // namespace tessera
