// model.safetensors: the header, and the tensors behind it.
#include "checkpoint/safetensors.h"

#include <vector>

#include "checkpoint/tensor_shape.h"
#include "support/fuzz.h"
#include "support/mutators.h"

using namespace tessera;

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return fuzz::mutate(data, size, max_size, seed,
                      [&](std::string_view file) { return fuzz::changed_safetensors(file, seed); });
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto path = fuzz::put("model.safetensors", fuzz::text_of(data, size));
  fuzz::reads(path.native(), [&] {
    const SafetensorsReader reader(path.parent_path());
    for (const std::string& name : reader.names()) {
      // As its user does: memory for as many elements as the file was seen to hold.
      const int64_t count = *element_count(reader.shape(name));
      std::vector<float> values(count > static_cast<int64_t>(size) ? 0 : static_cast<size_t>(count));
      fuzz::reads(path.native(), [&] { reader.read(name, 0, static_cast<int64_t>(values.size()), values.data()); });
    }
  });
  return 0;
}
