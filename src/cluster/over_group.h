#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cluster/communicator.h"

namespace tessera {

/// Base of collectives on a stream that leave host-side collectives to the group's own messages.
class OverGroup : public Communicator {
 public:
  int rank() const override { return group_->rank(); }
  int size() const override { return group_->size(); }
  std::vector<Peer> peers() const override { return group_->peers(); }

  void all_gather_host(const void* send, void* recv, int64_t bytes, CollectiveName name) override {
    group_->all_gather_host(send, recv, bytes, std::move(name));
  }
  void broadcast_host(void* data, int64_t bytes, int root, CollectiveName name) override {
    group_->broadcast_host(data, bytes, root, std::move(name));
  }

  double timeout() const override { return group_->timeout(); }
  void set_timeout(double seconds) override { group_->set_timeout(seconds); }

 protected:
  explicit OverGroup(std::unique_ptr<Communicator> group) : group_(std::move(group)) {}
  Communicator& group() const { return *group_; }

 private:
  std::unique_ptr<Communicator> group_;
};

}  // namespace tessera
