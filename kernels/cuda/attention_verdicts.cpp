#include "kernels/cuda/attention_verdicts.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"

namespace tessera {
namespace {

constexpr const char* batches_version = "1";  // another one where the batches or the tolerance change
const std::string agrees = "agrees\n", differs = "differs: ";

}  // namespace

AttentionVerdicts::AttentionVerdicts(std::filesystem::path folder, std::string library)
    : folder_(std::move(folder)), library_(std::move(library)) {}

std::filesystem::path AttentionVerdicts::file_of(const std::string& question) const {
  std::string name = library_ + " " + question + " " + batches_version;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0 && c != '.'; }, '-');
  return folder_ / (name + ".txt");
}

std::optional<std::string> AttentionVerdicts::find(const std::string& question) const {
  std::error_code unreadable;
  if (folder_.empty() || !std::filesystem::is_regular_file(file_of(question), unreadable)) return std::nullopt;
  const std::string text = read_text(file_of(question));
  if (text == agrees) return std::string();
  if (text.starts_with(differs) && text.ends_with('\n'))
    return text.substr(differs.size(), text.size() - differs.size() - 1);
  return std::nullopt;  // damaged
}

void AttentionVerdicts::keep(const std::string& question, const std::string& difference) const {
  if (folder_.empty()) return;
  try {
    std::filesystem::create_directories(folder_);
    write_text_durably(file_of(question), difference.empty() ? agrees : differs + difference + "\n");
  } catch (const std::exception& error) {
    log::info("attention's check is made again by the next job: {}", error.what());
  }
}

std::filesystem::path verdict_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0')
    return std::filesystem::path(cache) / "tessera";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return std::filesystem::path(home) / ".cache" / "tessera";
  return {};
}

}  // namespace tessera
