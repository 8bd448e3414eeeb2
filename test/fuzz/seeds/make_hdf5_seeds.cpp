// make_hdf5_seeds DIRECTORY: shard/ and prepared/ in it, each with a sound file.
#include <filesystem>

#include "support/fuzz.h"
#include "support/hdf5_files.h"

int main(int, char** arguments) {
  const std::filesystem::path directory = arguments[1],
                              checkpoint = tessera::step_directory(tessera::fuzz::folder(), 1);
  for (const char* name : {"shard", "prepared"}) std::filesystem::create_directories(directory / name);
  tessera::fuzz::write_checkpoint(checkpoint);
  std::filesystem::copy_file(checkpoint / tessera::shard_name(0, 1), directory / "shard" / "whole",
                             std::filesystem::copy_options::overwrite_existing);
  tessera::fuzz::write_prepared(directory / "prepared" / "whole");
}
