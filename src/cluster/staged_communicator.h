#pragma once
#include <memory>
#include <utility>

#include "cluster/communicator.h"
#include "device/buffer.h"

namespace tessera {

/// The collectives of a group for streams of a GPU, over one that moves host memory: what is sent is copied to the host
/// and what arrives is copied back, in the order of the stream.  For ranks that share a GPU, and where NCCL cannot go.
class StagedCommunicator final : public Communicator {
 public:
  StagedCommunicator(Device& device, std::unique_ptr<Communicator> inner) : device_(device), inner_(std::move(inner)) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  std::vector<Peer> peers() const override { return inner_->peers(); }

  void all_gather(Stream& stream, const void* send, void* recv, int64_t bytes, CollectiveName name) override;
  void reduce_scatter(Stream& stream, const float* send, float* recv, int64_t count, CollectiveName name) override;
  void all_reduce(Stream& stream, float* data, int64_t count, CollectiveName name) override;
  void broadcast(Stream& stream, void* data, int64_t bytes, int root, CollectiveName name) override;

  void all_gather_host(const void* send, void* recv, int64_t bytes, CollectiveName name) override {
    inner_->all_gather_host(send, recv, bytes, std::move(name));
  }
  void broadcast_host(void* data, int64_t bytes, int root, CollectiveName name) override {
    inner_->broadcast_host(data, bytes, root, std::move(name));
  }
  void barrier(CollectiveName name) override { inner_->barrier(std::move(name)); }

  std::unique_ptr<Communicator> split(int color, const std::string& name) override {
    return std::make_unique<StagedCommunicator>(device_, inner_->split(color, name));
  }
  double timeout() const override { return inner_->timeout(); }
  void set_timeout(double seconds) override { inner_->set_timeout(seconds); }

 private:
  /// Host memory of one collective; grows in the first step to what the largest one needs.
  char* staging(Stream& stream, int64_t bytes);

  Device& device_;
  std::unique_ptr<Communicator> inner_;
  Buffer staging_;
};

}  // namespace tessera
