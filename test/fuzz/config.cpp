// A model's config.json, and the tensors that follow from it.
#include "model/families/family.h"
#include "model/units.h"
#include "support/fuzz.h"
#include "support/mutators.h"

using namespace tessera;

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return fuzz::mutate(data, size, max_size, seed,
                      [&](std::string_view text) { return fuzz::changed_json(text, seed); });
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::reads("config.json", [&] {
    const ModelSpec model = parse_model(std::string(fuzz::text_of(data, size)), "config.json");
    constexpr int64_t quick = 16;  // layers; each has the same tensors
    if (model.L() <= quick) parameter_count(model);
  });
  return 0;
}
