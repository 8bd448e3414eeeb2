#include "support/fuzz.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace tessera::fuzz {
namespace {

/// Where TMPDIR says: scripts/fuzz.py names a place in memory, and removes what a target leaves that died.
class Folder {
 public:
  Folder() : path(std::filesystem::temp_directory_path() / ("tessera-fuzz-" + std::to_string(::getpid()))) {
    spdlog::set_level(spdlog::level::off);
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
  static const bool shows = std::getenv("FUZZ_SHOW") != nullptr;
  if (shows) std::fprintf(stderr, "%.*s\n", static_cast<int>(message.size()), message.data());
  if (message.find(file) != message.npos) return;
  std::fprintf(stderr, "the error does not name %.*s: %.*s\n", static_cast<int>(file.size()), file.data(),
               static_cast<int>(message.size()), message.data());
  std::abort();
}

}  // namespace tessera::fuzz
