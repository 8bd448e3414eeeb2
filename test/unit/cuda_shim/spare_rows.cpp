#include <catch2/catch.hpp>

#include "device/cuda/cuda_device.h"
#include "model/activations.h"
#include "support/small_model.h"

// Attention's library reads up to a tile behind a batch's last token (attention_spare_rows).
namespace tessera::test {
namespace {

bool is_zero(Device& device, const void* data, int64_t bytes) {
  std::vector<char> host(static_cast<size_t>(bytes));
  device.copy(data, host.data(), bytes);
  return std::all_of(host.begin(), host.end(), [](char byte) { return byte == 0; });
}

}  // namespace

TEST_CASE("behind what attention reads lies a tile of zeros", "[cuda_shim]") {
  constexpr int64_t T = 24, tile = 128;
  for (const Family family : {Family::llama, Family::qwen3})
    for (const Checkpointing kept : {Checkpointing::none, Checkpointing::full}) {
      CudaDevice device(0);
      const ModelConfig config = odd_model(true, family);
      const ActivationStore store(device, config, DType::bf16, kept, T);
      const auto zero_behind = [&](const View& rows) {
        return is_zero(device, rows.rows_from(rows.rows, tile).data, tile * rows.cols * size_of(rows.dtype));
      };
      CHECK(zero_behind(store.gradients(T).attended));
      for (int64_t layer = 0; layer < config.L; ++layer) {
        const LayerActivations a = store.layer(layer, T);
        CHECK(zero_behind(a.qkv));
        if (config.qk_norm) CHECK(zero_behind(a.qk_normed));
        CHECK(zero_behind(a.attended));
        CHECK(is_zero(device, a.log_sum_exp + T * config.H, tile * config.H * int64_t{sizeof(float)}));
      }
    }
}

}  // namespace tessera::test
