#include <catch2/catch.hpp>

#include "device/profiler.h"
#include "support/cpu_rig.h"

namespace tessera::test {
namespace {

TEST_CASE("a profiler sees each kernel by its name, but those that belong to their caller's phase", "[kernels]") {
  Rig rig = cpu_rig(1);
  Profiler profiler(*rig.device);
  profiler.keep_stretches();
  profiler.collect(*rig.stream);
  rig.kernels->profile(profiler);
  const Matrix x = Matrix::random(rig, DType::f32, 8, 8, 1), y = Matrix::zeros(rig, DType::f32, 8, 8);
  const Array<double> sum(rig, 1);
  rig.kernels->linear.forward(*rig.stream, x, x, {}, {}, y);
  rig.kernels->memory.cast(*rig.stream, x, y);
  rig.kernels->optimizer.squared_norm(*rig.stream, x.floats(), 64, sum.data());
  rig.kernels->memory.fill_zero(*rig.stream, y.view().data, y.view().bytes());
  rig.stream->synchronize();
  profiler.collect(*rig.stream);

  std::vector<std::string> names;
  for (const Profiler::Stretch& stretch : profiler.take_stretches()) names.push_back(stretch.name);
  REQUIRE(names == std::vector<std::string>{"linear_forward", "fill_zero"});
  REQUIRE(profiler.seconds(Phase::attention) == 0);
}

}  // namespace
}  // namespace tessera::test
