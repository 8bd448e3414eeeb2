#pragma once
#include <memory>
#include <utility>

#include "cluster/over_group.h"
#include "device/buffer.h"

namespace tessera {

/// The collectives of a group for streams of a GPU, over one that moves host memory: what is sent is copied to the host
/// and what arrives is copied back, in the order of the stream.  For ranks that share a GPU.
class StagedCommunicator final : public OverGroup {
 public:
  StagedCommunicator(Device& device, std::unique_ptr<Communicator> group)
      : OverGroup(std::move(group)), device_(device) {}

  void all_gather(Stream& stream, const void* send, void* recv, int64_t bytes, CollectiveName name) override;
  void reduce_scatter(Stream& stream, const float* send, float* recv, int64_t count, CollectiveName name) override;
  void all_reduce(Stream& stream, float* data, int64_t count, CollectiveName name) override;

  std::unique_ptr<Communicator> split(int color, const std::string& name) override {
    return std::make_unique<StagedCommunicator>(device_, group().split(color, name));
  }

 private:
  /// Host memory of one collective; grows in the first step to what the largest one needs.
  char* staging(Stream& stream, int64_t bytes);

  Device& device_;
  Buffer staging_;
};

}  // namespace tessera
