// manifest.json, and behind a zero byte the file `latest`.
#include "checkpoint/manifest.h"

#include "support/fuzz.h"
#include "support/mutators.h"

using namespace tessera;

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return fuzz::mutate(data, size, max_size, seed, [&](std::string_view text) {
    const std::string_view manifest = fuzz::take_part(text);
    return fuzz::changed_json(manifest, seed) + '\0' + std::string(text);
  });
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::filesystem::path directory = step_directory(fuzz::folder(), 1);
  std::filesystem::create_directories(directory);
  std::string_view rest = fuzz::text_of(data, size);
  fuzz::put("checkpoints/step-000001/manifest.json", fuzz::take_part(rest));
  fuzz::put("checkpoints/latest", rest);
  fuzz::reads(directory.native(), [&] { require_files(directory, read_manifest(directory)); });
  fuzz::reads(fuzz::folder().native(), [&] { find_latest_checkpoint(fuzz::folder()); });
  fuzz::reads(directory.native(), [&] { CheckpointReader reader(directory); });
  return 0;
}
