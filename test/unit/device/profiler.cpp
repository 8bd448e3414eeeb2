#include "device/profiler.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

using namespace tessera;

namespace {

/// Lasts `milliseconds` at least.
void enqueue_work(Stream& stream, int milliseconds) {
  stream.enqueue([milliseconds] { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); });
}

}  // namespace

TEST_CASE("a profiler adds up what each phase takes", "[device]") {
  const auto device = make_cpu_device(1);
  const auto stream = device->make_stream("compute"), other = device->make_stream("communication");
  Profiler profiler(*device);
  for (int step = 1; step <= 2; ++step) {
    profiler.begin(*stream, Phase::forward);
    enqueue_work(*stream, 4);
    profiler.begin(*stream, Phase::gemm);
    enqueue_work(*stream, 4);
    profiler.end(*stream, Phase::gemm);
    profiler.end(*stream, Phase::forward);
    profiler.begin(*other, Phase::gather);
    enqueue_work(*other, 1);
    profiler.end(*other, Phase::gather);
    stream->synchronize();
    other->synchronize();
    profiler.collect(*stream);
    CHECK(profiler.seconds(Phase::gemm) >= 0.004 * step);
    CHECK(profiler.seconds(Phase::forward) >= profiler.seconds(Phase::gemm) + 0.004 * step);
    CHECK(profiler.seconds(Phase::gather) >= 0.001 * step);
  }
  CHECK(profiler.seconds(Phase::reduce) == 0);
  CHECK(profiler.take_stretches().empty());
}

TEST_CASE("a profiler keeps stretches with their streams and names where asked to", "[device]") {
  const auto device = make_cpu_device(1);
  const auto stream = device->make_stream("compute");
  Profiler profiler(*device);
  profiler.keep_stretches();
  profiler.collect(*stream);  // times count from here
  stream->synchronize();
  profiler.begin(*stream, Phase::forward);
  profiler.begin(*stream, Phase::gemm, "linear_forward");
  enqueue_work(*stream, 1);
  profiler.end(*stream, Phase::gemm);
  profiler.end(*stream, Phase::forward);
  stream->synchronize();
  profiler.collect(*stream);
  const auto stretches = profiler.take_stretches();
  REQUIRE(stretches.size() == 2);
  CHECK(stretches[0].name == "forward");
  CHECK(stretches[1].name == "linear_forward");
  CHECK(stretches[1].stream == "compute");
  CHECK(stretches[0].begin <= stretches[1].begin);
  CHECK(stretches[1].begin + stretches[1].seconds <= stretches[0].begin + stretches[0].seconds + 1e-9);
  CHECK(profiler.take_stretches().empty());
}
