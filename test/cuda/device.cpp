#include "support/kernel_test.h"
#include "support/small_model.h"

namespace tessera::test {

TEST_CASE("a GPU's streams run beside each other, in the order that events give", "[cuda]") {
  const auto device = make_cuda_device(0);
  const auto first = device->make_stream("first"), second = device->make_stream("second");
  const auto event = device->make_event();
  const std::vector<float> sent = {1, 2, 3};
  std::vector<float> seen(3), received(3);
  const Buffer there(*device, DType::f32, 1, 3, "a row");
  first->transfer(sent.data(), there.data(), there.bytes());
  event->record(*first);
  event->wait(*second);
  second->transfer(there.data(), received.data(), there.bytes());
  second->enqueue([&] { seen = received; });
  second->synchronize();
  CHECK(seen == sent);
}

TEST_CASE("what host work throws comes out of the stream's synchronize()", "[cuda]") {
  const auto device = make_cuda_device(0);
  const auto stream = device->make_stream("test");
  bool ran = false;
  stream->enqueue([] { throw std::runtime_error("first"); });
  stream->enqueue([&] { ran = true; });
  CHECK_THROWS_WITH(stream->synchronize(), "first");
  CHECK_FALSE(ran);
}

TEST_CASE("time passes between two points of a stream", "[cuda]") {
  const auto device = make_cuda_device(0);
  const auto stream = device->make_stream("test");
  const auto begin = device->make_timestamp(), end = device->make_timestamp();
  const Buffer from(*device, int64_t{64} << 20, "from"), to(*device, int64_t{64} << 20, "to");
  begin->record(*stream);
  stream->transfer(from.data(), to.data(), to.bytes());
  end->record(*stream);
  stream->synchronize();
  CHECK(end->seconds_since(*begin) > 0);
}

TEST_CASE("buffers lie in memory that was reserved, and are counted", "[cuda]") {
  const auto device = make_cuda_device(0);
  device->reserve(1 << 20, "a test");
  const Buffer first(*device, 10, "first"), second(*device, 100, "second");
  CHECK(second.as<char>() - first.as<char>() == 256);
  CHECK(device->bytes_in_use() == 110);
  CHECK_THROWS_WITH(device->reserve(int64_t{1} << 50, "a petabyte"), Catch::Contains("out of memory: a petabyte"));
}

TEST_CASE("a steady update of this GPU allocates nothing and waits for the streams at its end alone", "[cuda]") {
  for (const Offload offload : {Offload::none, Offload::optimizer, Offload::params}) {
    const auto device = make_cuda_device(0);
    const auto kernels = make_kernels(*device);
    const auto cost = cost_of_a_steady_update(*device, *kernels, offload);
    CHECK(cost.allocations == 0);
    CHECK(cost.waits == (offload == Offload::none ? 2 : 4));
  }
}

TEST_CASE("packed documents of ever new lengths allocate nothing on this GPU, from the first update on", "[cuda]") {
  const auto device = make_cuda_device(0);
  const auto kernels = make_kernels(*device);
  CHECK(allocations_of_packed_updates(*device, *kernels) == 0);
}

}  // namespace tessera::test
