#include "shard/host_update.h"

#include <algorithm>
#include <utility>

namespace tessera {

HostUpdate::HostUpdate(Device& device, const ShardLayout& layout, const ShardState& state, Profiler& profiler,
                       int threads)
    : layout_(layout),
      state_(state),
      profiler_(profiler),
      cpu_(make_cpu_device(threads)),
      kernels_(make_kernels(*cpu_)),
      kernel_stream_(cpu_->make_stream("host kernels")),
      stream_(device.make_stream("host update")),
      transfer_(device.make_stream("transfer")),
      followed_(device.make_event()) {
  const DType dtype = state.weights().dtype;
  const bool staged = state.weights_place == Memory::device && dtype != DType::f32;  // fp32 goes from the master itself
  for (Slot& slot : slots_) {
    if (staged) slot.buffer = Buffer(device, dtype, 1, host_update_piece, "weights on their way", Memory::host);
    slot.filled = device.make_event();
    slot.sent = device.make_event();
  }
}

void HostUpdate::run(Work work) {
  stream_->enqueue([this, work = std::move(work)] {
    work(*kernels_, *kernel_stream_);
    kernel_stream_->synchronize();
  });
}

void HostUpdate::follow(Stream& other) {
  followed_->record(other);
  followed_->wait(*stream_);
}

void HostUpdate::make_weights(const MakeWeights& make, const std::function<void(size_t bucket, Stream& stream)>& made) {
  const bool on_device = state_.weights_place == Memory::device;
  for (size_t b = 0; b < layout_.buckets().size(); ++b) {
    const Bucket& bucket = layout_.buckets()[b];
    const int64_t end = bucket.begin + bucket.slice;
    for (int64_t begin = bucket.begin; begin < end; begin += host_update_piece)
      make_piece(make, begin, std::min(host_update_piece, end - begin));
    made(b, on_device ? *transfer_ : *stream_);
  }
}

void HostUpdate::make_piece(const MakeWeights& make, int64_t begin, int64_t n) {
  const bool on_device = state_.weights_place == Memory::device;
  Slot& slot = slots_[next_slot_++ % slots_.size()];
  View made = on_device ? state_.master.view().cols_from(begin, n) : state_.weights().cols_from(begin, n);
  if (slot.buffer.data() != nullptr) {
    made = slot.buffer.view().cols_from(0, n);
    slot.sent->wait(*stream_);
  }
  run([make, begin, n, made](Kernels& kernels, Stream& stream) { make(kernels, stream, begin, begin + n, made); });
  if (on_device) send(slot, made, begin);
}

void HostUpdate::send(Slot& slot, View made, int64_t begin) {
  slot.filled->record(*stream_);
  slot.filled->wait(*transfer_);
  profiler_.begin(*transfer_, Phase::copy, "weights to the device");
  transfer_->transfer(made.data, state_.weights().cols_from(begin, made.cols).data, made.bytes());
  profiler_.end(*transfer_, Phase::copy);
  slot.sent->record(*transfer_);
}

}  // namespace tessera
