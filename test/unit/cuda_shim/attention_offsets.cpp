#include "kernels/cuda/attention_offsets.h"

#include <catch2/catch.hpp>

#include "device/cuda/cuda_device.h"
#include "support/kernel_test.h"

namespace tessera::test {
namespace {

TEST_CASE("documents begin where cu_seqlens says, times the stride, and those beyond the batch are empty",
          "[kernels][attention]") {
  on_every_device([](Rig& rig) {
    for (const int64_t documents : {3, 4, 127, 128, 300}) {
      INFO(documents << " documents");
      const Array<int32_t> cu_seqlens(rig, {0, 7, 7, 20});
      const std::vector<int64_t> strides = {64, 1, int64_t{1} << 40};
      const int64_t pitch = attention_offsets_pitch(documents);
      REQUIRE(pitch % 2 == 0);
      Array<int64_t> offsets(rig, 3 * pitch);
      Array<int32_t> lengths(rig, documents);
      cuda::attention_offsets(cuda_stream(*rig.stream), cu_seqlens.data(), 3, documents, strides, offsets.data(),
                              lengths.data());
      std::vector<int64_t> expected_offsets;
      std::vector<int32_t> expected_lengths = {7, 0, 13};
      for (const int64_t stride : strides) {
        for (int64_t n = 0; n <= documents; ++n) expected_offsets.push_back(stride * (n == 0 ? 0 : n < 3 ? 7 : 20));
        expected_offsets.resize(expected_offsets.size() + static_cast<size_t>(pitch - (documents + 1)));
      }
      expected_lengths.resize(static_cast<size_t>(documents), 0);
      REQUIRE(offsets.values() == expected_offsets);
      REQUIRE(lengths.values() == expected_lengths);
    }
  });
}

}  // namespace
}  // namespace tessera::test
