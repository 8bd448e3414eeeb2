#include "cluster/transport.h"

#include <stdexcept>

namespace tessera {
namespace {

class NoMessages final : public Messages {
 public:
  void send(int, const void*, int64_t, int64_t) override { refuse(); }
  void receive(int, void*, int64_t, int64_t) override { refuse(); }
  void poll(std::vector<int64_t>&) override {}

 private:
  [[noreturn]] static void refuse() { throw std::logic_error("a group of one rank has no peers"); }
};

}  // namespace

std::unique_ptr<Messages> LoneTransport::open(Lane) { return std::make_unique<NoMessages>(); }

std::unique_ptr<Transport> LoneTransport::subgroup(const std::vector<int>&) {
  return std::make_unique<LoneTransport>(peers().front());
}

}  // namespace tessera
