#include "data/preparation_progress.h"

#include "base/log.h"
#include "base/size_text.h"

namespace tessera {
namespace {

constexpr int64_t remarkable_bytes = 64 << 20;  // decompressed, from which on a file is worth a warning
constexpr int64_t remarkable_ratio = 100;       // text packs to a third or a tenth
constexpr std::chrono::seconds pause(10);

}  // namespace

void PreparationProgress::begin(std::string section) {
  const std::lock_guard lock(mutex_);
  section_ = std::move(section);
  file_.clear();
  samples_ = 0;
}

void PreparationProgress::read(const ReadingState& state) {
  const std::lock_guard lock(mutex_);
  if (state.file.native() != file_) {
    file_ = state.file.native();
    warned_ = false;
  }
  if (!warned_ && state.bytes >= remarkable_bytes && state.bytes / remarkable_ratio > state.packed) {
    warned_ = true;
    log::warn("{}: {} have decompressed to {}; check that this is intended", file_, size_text(state.packed),
              size_text(state.bytes));
  }
  if (is_time())
    log::info("[{}]: {}:{}: {} read; {} samples of this data set tokenised, {} tokens in total", section_, file_,
              state.line, size_text(state.bytes), samples_, tokens_);
}

void PreparationProgress::made(int64_t samples, int64_t tokens) {
  const std::lock_guard lock(mutex_);
  samples_ = samples;
  tokens_ = tokens;
  if (is_time()) log::info("[{}]: {} samples tokenised, {} tokens in total", section_, samples_, tokens_);
}

bool PreparationProgress::is_time() {
  const auto now = std::chrono::steady_clock::now();
  if (now - said_ < pause) return false;
  said_ = now;
  return true;
}

}  // namespace tessera
