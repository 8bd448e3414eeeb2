#include <catch2/catch.hpp>

#include "device/buffer.h"
#include "device/cuda/cuda_device.h"

namespace tessera::test {

TEST_CASE("buffers are cut from reserved memory as long as there is room", "[cuda_shim]") {
  CudaDevice device(0);
  device.reserve(1000, "a plan");
  const Buffer first(device, 10, "first"), second(device, 100, "second");
  CHECK(second.as<char>() - first.as<char>() == CudaDevice::piece_alignment);
  const Buffer large(device, 5000, "large");
  const int64_t distance = large.as<char>() - first.as<char>();
  CHECK((distance < 0 || distance >= 1000));
  CHECK(device.bytes_in_use() == 5110);
}

TEST_CASE("copies and zeros have arrived when the call returns", "[cuda_shim]") {
  CudaDevice device(0);
  const auto stream = device.make_stream("test");
  const Buffer first(device, DType::f32, 1, 3, "a row"), second(device, DType::f32, 1, 3, "a row"),
      seen(device, DType::f32, 1, 3, "a row", Memory::host);
  const std::vector<float> sent = {1, 2, 3};
  const auto see = [&](const Buffer& buffer) {  // without a copy of the default stream, which would wait for the others
    stream->transfer(buffer.data(), seen.data(), buffer.bytes());
    stream->synchronize();
    return std::vector<float>(seen.as<float>(), seen.as<float>() + 3);
  };
  device.copy(sent.data(), first.data(), first.bytes());
  CHECK(see(first) == sent);
  device.copy(first.data(), second.data(), second.bytes());
  CHECK(see(second) == sent);
  second.set_zero();
  CHECK(see(second) == std::vector<float>(3));
}

TEST_CASE("a transfer that would wait for the stream, from pageable memory, is seen", "[cuda_shim]") {
  CudaDevice device(0);
  const Buffer there(device, 12, "there"), here(device, 12, "here", Memory::host);
  const auto stream = device.make_stream("test");  // its end waits for the transfer, which reads until then
  const std::vector<float> pageable(3);
  CHECK_NOTHROW(stream->transfer(here.data(), there.data(), 12));
  CHECK_THROWS_WITH(stream->transfer(pageable.data(), there.data(), 12), Catch::Contains("invalid argument"));
}

TEST_CASE("an allocation beyond the device's memory names its purpose", "[cuda_shim]") {
  CudaDevice device(0);
  const Buffer held(device, int64_t{1} << 30, "weights");
  CHECK_THROWS_WITH(device.reserve(int64_t{1} << 40, "1 TB for everything"),
                    Catch::Contains("out of memory: 1 TB for everything; 3.00 GiB of 4.00 GiB are free") &&
                        Catch::Contains("This job holds 1.00 GiB (weights 1.00 GiB)") &&
                        Catch::Contains("shard.offload = optimizer"));
  CHECK_THROWS_WITH(Buffer(device, int64_t{1} << 40, "activations"),
                    Catch::Contains("1024.00 GiB requested for activations"));
  CHECK(device.bytes_in_use() == int64_t{1} << 30);
}

}  // namespace tessera::test
