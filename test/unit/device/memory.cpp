#include <catch2/catch.hpp>
#include <cstdint>
#include <cstring>

#include "base/error.h"
#include "device/buffer.h"
#include "device/device.h"
#include "device/parallel.h"

namespace tessera {
namespace {

TEST_CASE("memory is aligned and usable to its last byte", "[device]") {
  const auto device = make_cpu_device(1);
  for (const int64_t bytes : {1L, 63L, 4097L, 2L << 20, (2L << 20) + 1, (5L << 20) + 4095}) {
    const Buffer buffer(*device, bytes, "a test");
    INFO(bytes);
    REQUIRE(reinterpret_cast<uintptr_t>(buffer.data()) % 64 == 0);
    std::memset(buffer.data(), 0xa5, static_cast<size_t>(bytes));
    REQUIRE(buffer.as<uint8_t>()[bytes - 1] == 0xa5);
  }
}

TEST_CASE("large memory begins at a huge page", "[device]") {
  const auto device = make_cpu_device(1);
  for (int i = 0; i < 4; ++i) {
    const Buffer buffer(*device, 3 << 20, "a test");
    REQUIRE(reinterpret_cast<uintptr_t>(buffer.data()) % (2 << 20) == 0);
  }
}

TEST_CASE("a device counts the bytes in use and their peak", "[device]") {
  const auto device = make_cpu_device(1);
  {
    const Buffer a(*device, 1000, "a");
    { const Buffer b(*device, 3 << 20, "b"); }
    const Buffer c(*device, 24, "c");
    REQUIRE(device->bytes_in_use() == 1024);
  }
  REQUIRE(device->bytes_in_use() == 0);
  REQUIRE(device->peak_bytes() == 1000 + (3 << 20));
}

TEST_CASE("a buffer of nothing has no memory", "[device]") {
  const auto device = make_cpu_device(1);
  const Buffer buffer(*device, 0, "nothing");
  REQUIRE(buffer.data() == nullptr);
}

TEST_CASE("a moved buffer is released once", "[device]") {
  const auto device = make_cpu_device(1);
  {
    Buffer a(*device, 512, "a");
    Buffer b = std::move(a);
    a = std::move(b);
    REQUIRE(device->bytes_in_use() == 512);
  }
  REQUIRE(device->bytes_in_use() == 0);
}

TEST_CASE("memory that does not exist is refused with its purpose and size", "[device]") {
  const auto device = make_cpu_device(1);
  REQUIRE_THROWS_WITH(device->allocate(int64_t{1} << 60, "the gathered units", Memory::device),
                      Catch::Contains("the gathered units") && Catch::Contains("1073741824.00 GiB"));
}

TEST_CASE("host memory is not counted as the device's", "[device]") {
  const auto device = make_cpu_device(1);
  const Buffer buffer(*device, 4096, "a snapshot", Memory::host);
  REQUIRE(buffer.data() != nullptr);
  REQUIRE(device->bytes_in_use() == 0);
}

TEST_CASE("copies and zeros are done at once, transfers in the order of the stream", "[device]") {
  const auto device = make_cpu_device(1);
  const Buffer buffer(*device, DType::f32, 1, 3, "a row");
  const std::vector<float> values = {1, 2, 3};
  device->copy(values.data(), buffer.data(), buffer.bytes());
  REQUIRE(buffer.as<float>()[2] == 3);
  const auto stream = device->make_stream("test");
  std::vector<float> read(3);
  stream->transfer(buffer.data(), read.data(), buffer.bytes());
  stream->enqueue([&] { read[0] += 10; });
  stream->synchronize();
  REQUIRE(read == std::vector<float>{11, 2, 3});
  buffer.set_zero();
  REQUIRE(buffer.as<float>()[0] == 0);
}

TEST_CASE("the host reads a kernel's number after it was fetched", "[device]") {
  const auto device = make_cpu_device(1);
  const auto stream = device->make_stream("test");
  Readback<double> sum(*device, "sum");
  REQUIRE(sum.value() == 0);
  stream->enqueue([&] { *sum.for_kernels() = 7; });
  sum.fetch(*stream);
  stream->synchronize();
  REQUIRE(sum.value() == 7);
}

TEST_CASE("a device without threads is refused", "[device]") { REQUIRE_THROWS_AS(make_cpu_device(0), JobError); }

TEST_CASE("a device has its kind and its threads", "[device]") {
  const auto device = make_cpu_device(2);
  REQUIRE(device->kind() == DeviceKind::cpu);
  REQUIRE(cpu_threads(*device) == 2);
  REQUIRE_THAT(device->description(), Catch::Contains("2 threads"));
}

TEST_CASE("parallel_for visits every index once", "[device]") {
  for (const int64_t n : {0, 1, 7, 1000}) {
    std::vector<int> visits(static_cast<size_t>(n), 0);
    parallel_for(3, n, 2, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
    });
    INFO(n);
    REQUIRE(std::all_of(visits.begin(), visits.end(), [](int count) { return count == 1; }));
  }
}

}  // namespace
}  // namespace tessera
