#include <catch2/catch.hpp>

#include "device/cuda/cuda_device.h"
#include "model/layer.h"
#include "support/small_model.h"

// Attention's library reads up to a tile behind a batch's last token (attention_spare_rows).
namespace tessera::test {
namespace {

constexpr int64_t T = 24, tile = 128;

bool is_zero_behind(Device& device, const View& rows) {
  const View behind = rows.rows_from(rows.rows, tile);
  std::vector<char> host(static_cast<size_t>(behind.bytes()));
  device.copy(behind.data, host.data(), behind.bytes());
  return std::all_of(host.begin(), host.end(), [](char byte) { return byte == 0; });
}

}  // namespace

TEST_CASE("behind what attention reads lies a tile of zeros", "[cuda_shim]") {
  for (const Checkpointing kept : {Checkpointing::none, Checkpointing::full}) {
    CudaDevice device(0);
    SlotList list(DType::bf16);
    const std::vector<Slot> slots = {list.add(6, Keep::unless_full, SlotList::Reader::attention),
                                     list.add(3, Keep::always, SlotList::Reader::attention),
                                     list.add_floats(2, Keep::always, SlotList::Reader::attention),
                                     list.add(3, Keep::gradient, SlotList::Reader::attention)};
    const ActivationStore store(device, {8, T, DType::bf16, kept}, {&list, &list});
    for (int64_t layer = 0; layer < 2; ++layer)
      for (const Slot slot : slots) CHECK(is_zero_behind(device, store.layer(layer, T)[slot]));
  }
}

TEST_CASE("attention reads q, k and v, its output, their gradient and log-sum-exp", "[cuda_shim]") {
  for (const bool qk_norm : {false, true}) {
    const ModelSpec model = odd_model(true, qk_norm);
    const AttentionSpec& attention = model.layers.front().attention;
    const int64_t q = attention.H * attention.D, k = attention.G * attention.D;
    std::vector<int64_t> columns;
    const std::vector<DecoderLayer> layers = make_layers(model, model_units(model), DType::bf16);
    for (const SlotList::Entry& entry : layers.front().slots().entries())
      if (entry.reader == SlotList::Reader::attention) columns.push_back(entry.columns);
    std::vector<int64_t> expected = {q + 2 * k, q, attention.H, q};
    if (qk_norm) expected.insert(expected.begin() + 1, q + k);
    CHECK(columns == expected);
  }
}

}  // namespace tessera::test
