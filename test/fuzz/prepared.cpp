// A prepared file as bytes.
#include "support/fuzz.h"
#include "support/hdf5_files.h"

using namespace tessera;

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned) {
  return fuzz::mutate_hdf5(data, size, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::read_prepared(fuzz::put("prepared.h5", fuzz::text_of(data, size)));
  return 0;
}
