#include "cluster/message_communicator.h"
#include "device/gpu_library.h"
#include "support/kernel_test.h"

namespace tessera::test {

TEST_CASE("NCCL's collectives of one rank give what was sent", "[cuda]") {
  const auto device = make_cuda_device(0);
  const auto stream = device->make_stream("communication");
  using Make = Communicator*(Device&, std::unique_ptr<Communicator>&&, int max_ctas);
  const std::unique_ptr<Communicator> nccl(GpuLibrary::get().find<Make>("tessera_gpu_make_communicator")(
      *device, std::make_unique<MessageCommunicator>(std::make_unique<LoneTransport>(Peer{})), /*max_ctas=*/0));
  const Values numbers = random_values(1000, 3);
  const std::vector<float> sent(numbers.begin(), numbers.end());
  const Buffer from(*device, DType::f32, 1, 1000, "from"), to(*device, DType::f32, 1, 1000, "to");
  const auto require_sent = [&](const std::string& what) {
    INFO(what);
    std::vector<float> received(sent.size());
    stream->synchronize();
    device->copy(to.data(), received.data(), to.bytes());
    to.set_zero();
    CHECK(received == sent);
  };
  device->copy(sent.data(), from.data(), from.bytes());
  nccl->all_gather(*stream, from.data(), to.data(), from.bytes(), "all_gather of a test");
  require_sent("all_gather");
  nccl->reduce_scatter(*stream, from.as<float>(), to.as<float>(), 1000, "reduce_scatter of a test");
  require_sent("reduce_scatter");
  device->copy(sent.data(), to.data(), to.bytes());
  nccl->all_reduce(*stream, to.as<float>(), 1000, "all_reduce of a test");
  require_sent("all_reduce");
}

}  // namespace tessera::test
