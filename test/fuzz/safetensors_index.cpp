// model.safetensors.index.json, beside two files of weights that are sound.
#include <array>

#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_writer.h"
#include "support/fuzz.h"
#include "support/mutators.h"

using namespace tessera;

namespace {

bool write_weights() {
  const std::array<float, 6> values = {1, 2, 3, 4, 5, 6};
  for (const char* name : {"a", "b"}) {
    SafetensorsWriter writer(fuzz::folder() / (std::string(name) + ".safetensors"),
                             {{std::string(name) + ".weight", {2, 3}, 6}}, DType::f32);
    writer.append(values.data(), 6);
    writer.finish();
  }
  return true;
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return fuzz::mutate(data, size, max_size, seed,
                      [&](std::string_view text) { return fuzz::changed_json(text, seed); });
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  [[maybe_unused]] static const bool written = write_weights();
  fuzz::put("model.safetensors.index.json", fuzz::text_of(data, size));
  fuzz::reads(fuzz::folder().native(), [&] {
    const SafetensorsReader reader(fuzz::folder());
    std::array<float, 6> values{};
    for (const std::string& name : reader.names()) reader.read(name, 0, 6, values.data());
  });
  return 0;
}
