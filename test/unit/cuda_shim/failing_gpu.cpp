#include <cuda_runtime.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "base/error.h"
#include "device/cuda/cuda_device.h"

namespace tessera::test {

TEST_CASE("a failed stream of a GPU reports the error, and ends after the host work that runs", "[cuda_shim]") {
  CudaDevice device(0);
  auto stream = device.make_stream("test");
  std::atomic<bool> begun = false, may_end = false, ended = false, dropped = true;
  stream->enqueue([&] {
    begun = true;
    while (!may_end) std::this_thread::yield();
    ended = true;
  });
  stream->enqueue([&] { dropped = false; });
  while (!begun) std::this_thread::yield();
  cuda_shim::break_gpu(true);
  CHECK_THROWS_WITH(stream->synchronize(), Catch::Contains("illegal memory access"));
  std::thread later([&] {
    while (cuda_shim::waits_for_broken_gpu() < 2) std::this_thread::yield();  // until the stream is to end
    may_end = true;
  });
  stream.reset();
  CHECK(ended);
  CHECK(dropped);
  later.join();
  cuda_shim::break_gpu(false);
}

}  // namespace tessera::test
