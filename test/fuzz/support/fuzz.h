#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

/// What the fuzz targets share.  A target has found something where the process dies: a report of a sanitizer, an
/// exception that is none of the project's (nothing catches it), or an error that does not name the file.
namespace tessera::fuzz {

/// The folder of this process, gone at its end.
const std::filesystem::path& folder();

/// Makes a file in the folder, in place of what has that name.
std::filesystem::path put(const std::string& name, std::string_view bytes);

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Takes the part of `rest` up to a zero byte, which no text file has, and takes it off.
std::string_view take_part(std::string_view& rest);

/// Ends the process unless the message names the file.  Prints it where the environment has FUZZ_SHOW.
void require_named(std::string_view message, std::string_view file);

/// Runs what reads an input.  True where it read it; false where it ended with an error of the project, which has to
/// name `file`.
template <typename Work>
bool reads(std::string_view file, Work work);

}  // namespace tessera::fuzz

#include "base/error.h"

template <typename Work>
bool tessera::fuzz::reads(std::string_view file, Work work) {
  try {
    work();
    return true;
  } catch (const Error& error) {
    require_named(error.what(), file);
    return false;
  }
}
