#include "support/fuzz.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace tessera::fuzz {
namespace {

/// In memory where the system has such a place.
class Folder {
 public:
  Folder() {
    spdlog::set_level(spdlog::level::off);
    const std::filesystem::path memory = "/dev/shm";
    const auto parent = std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path();
    path = parent / ("tessera-fuzz-" + std::to_string(::getpid()));
    std::filesystem::create_directories(path);
  }
  ~Folder() {
    std::error_code nobody_to_tell;
    std::filesystem::remove_all(path, nobody_to_tell);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::filesystem::path path;
};

}  // namespace

const std::filesystem::path& folder() {
  static const Folder folder;
  return folder.path;
}

std::filesystem::path put(const std::string& name, std::string_view bytes) {
  const std::filesystem::path path = folder() / name;
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (!file || std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size() || std::fclose(file) != 0) {
    std::perror(path.c_str());
    std::abort();
  }
  return path;
}

std::string_view take_part(std::string_view& rest) {
  const size_t end = std::min(rest.find('\0'), rest.size());
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

void require_named(std::string_view message, std::string_view file) {
  if (message.find(file) != message.npos) return;
  std::fprintf(stderr, "the error does not name %.*s: %.*s\n", static_cast<int>(file.size()), file.data(),
               static_cast<int>(message.size()), message.data());
  std::abort();
}

}  // namespace tessera::fuzz
