// A checkpoint's shard as bytes; its manifest always has the right checksum of them.
#include "support/fuzz.h"
#include "support/hdf5_files.h"

using namespace tessera;

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned) {
  return fuzz::mutate_hdf5(data, size, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::filesystem::path directory = step_directory(fuzz::folder(), 1);
  std::filesystem::create_directories(directory);
  fuzz::put("checkpoints/step-000001/" + shard_name(0, 1), fuzz::text_of(data, size));
  fuzz::write_manifest(directory);
  fuzz::read_checkpoint(directory);
  return 0;
}
