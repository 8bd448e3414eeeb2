#include "device/profiler.h"

#include <catch2/catch.hpp>
#include <chrono>

using namespace tessera;

namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

/// Work on a stream, long beside what measuring takes, that tells when it was done itself.
class TimedWork {
 public:
  explicit TimedWork(Stream& stream) {
    stream.enqueue([this] {
      begin_ = end_ = Clock::now();
      while (end_ - begin_ < std::chrono::milliseconds(1)) end_ = Clock::now();
    });
  }
  TimedWork(const TimedWork&) = delete;
  TimedWork& operator=(const TimedWork&) = delete;
  double seconds() const { return seconds_between(begin_, end_); }
  Clock::time_point begin() const { return begin_; }
  Clock::time_point end() const { return end_; }

 private:
  Clock::time_point begin_, end_;
};

}  // namespace

TEST_CASE("a profiler adds up what each phase takes", "[device]") {
  const auto device = make_cpu_device(1);
  const auto stream = device->make_stream("compute"), other = device->make_stream("communication");
  Profiler profiler(*device);
  double forward = 0, gemm = 0, gather = 0;
  const auto begin = Clock::now();
  for (int step = 1; step <= 2; ++step) {
    profiler.begin(*stream, Phase::forward);
    const TimedWork before(*stream);
    profiler.begin(*stream, Phase::gemm);
    const TimedWork product(*stream);
    profiler.end(*stream, Phase::gemm);
    profiler.end(*stream, Phase::forward);
    profiler.begin(*other, Phase::gather);
    const TimedWork gathering(*other);
    profiler.end(*other, Phase::gather);
    stream->synchronize();
    other->synchronize();
    profiler.collect(*stream);
    forward += before.seconds() + product.seconds();
    gemm += product.seconds();
    gather += gathering.seconds();
    const double since = seconds_between(begin, Clock::now());
    CHECK(profiler.seconds(Phase::gemm) >= gemm);
    CHECK(profiler.seconds(Phase::forward) >= forward);
    CHECK(profiler.seconds(Phase::forward) > profiler.seconds(Phase::gemm));
    CHECK(profiler.seconds(Phase::forward) <= since);
    CHECK(profiler.seconds(Phase::gather) >= gather);
  }
  CHECK(profiler.seconds(Phase::reduce) == 0);
  CHECK(profiler.take_stretches().empty());
}

TEST_CASE("a profiler keeps spans with their streams and names on request", "[device]") {
  const auto device = make_cpu_device(1);
  const auto stream = device->make_stream("compute");
  Profiler profiler(*device);
  profiler.keep_stretches();
  profiler.collect(*stream);  // times count from here
  stream->synchronize();
  profiler.begin(*stream, Phase::forward);
  profiler.begin(*stream, Phase::gemm, "linear_forward");
  const TimedWork work(*stream);
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

TEST_CASE("stretches of different collections are as far apart as they were", "[device]") {
  const auto device = make_cpu_device(1);
  const auto stream = device->make_stream("compute");
  Profiler profiler(*device);
  profiler.keep_stretches();
  profiler.collect(*stream);
  std::vector<std::unique_ptr<TimedWork>> works;
  for (int i = 0; i < 20; ++i) {
    profiler.begin(*stream, Phase::forward);
    works.push_back(std::make_unique<TimedWork>(*stream));
    profiler.end(*stream, Phase::forward);
    stream->synchronize();
    profiler.collect(*stream);
  }
  const auto stretches = profiler.take_stretches();
  REQUIRE(stretches.size() == works.size());
  for (size_t i = 1; i < works.size(); ++i) {
    // The work lies within its stretch, so that less lies between two stretches than between their works.
    const double rounding = 1e-15 * stretches[i].begin * static_cast<double>(works.size());
    const double gap = stretches[i].begin - (stretches[0].begin + stretches[0].seconds);
    CHECK(gap <= seconds_between(works[0]->end(), works[i]->begin()) + rounding);
    const double whole = stretches[i].begin + stretches[i].seconds - stretches[0].begin;
    CHECK(whole >= seconds_between(works[0]->begin(), works[i]->end()) - rounding);
  }
}
