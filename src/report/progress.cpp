#include "report/progress.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/log.h"

namespace tessera {
namespace {

/// mpirun gives every rank a pseudo-terminal, whatever its own output goes to; then its descriptor is the one to ask.
bool output_is_terminal() {
  if (::isatty(STDOUT_FILENO) == 0) return false;
  if (std::getenv("OMPI_COMM_WORLD_SIZE") == nullptr) return true;
  struct stat mpirun_output {};
  const std::string path = fmt::format("/proc/{}/fd/1", ::getppid());
  return ::stat(path.c_str(), &mpirun_output) == 0 && S_ISCHR(mpirun_output.st_mode) &&
         ::access(path.c_str(), W_OK) == 0 && major(mpirun_output.st_rdev) == 136;  // /dev/pts
}

}  // namespace

std::string clock_text(double seconds) {
  const auto s = static_cast<int64_t>(std::max(0.0, seconds));
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

Progress::Progress(int64_t first_step, int64_t total_steps, int64_t logging_steps)
    : first_step_(first_step),
      total_steps_(total_steps),
      logging_steps_(std::max<int64_t>(1, logging_steps)),
      terminal_(output_is_terminal()) {}

std::string Progress::remaining(int64_t step) const {
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  return clock_text(elapsed / static_cast<double>(step - first_step_ + 1) * static_cast<double>(total_steps_ - step));
}

void Progress::step(const StepMetrics& m) {
  const std::string numbers = fmt::format("loss {:.4f}  grad_norm {:.3f}  lr {:.2e}  {:.0f} tokens/s  ETA {}", m.loss,
                                          m.grad_norm, m.learning_rate, m.tokens_per_second(), remaining(m.step));
  if (terminal_) {
    const auto filled = static_cast<size_t>(24 * m.step / std::max<int64_t>(1, total_steps_));
    draw(fmt::format("{}{} {}/{}  {}", std::string(filled, '#'), std::string(24 - filled, '.'), m.step, total_steps_,
                     numbers));
  } else if (m.step % logging_steps_ == 0 || m.step == total_steps_) {
    log::info("step {}/{}  {}", m.step, total_steps_, numbers);
  }
}

void Progress::evaluation(const EvaluationMetrics& m) {
  note(fmt::format("step {}: evaluation loss {:.4f} over {} tokens", m.step, m.loss, m.tokens));
}

void Progress::save(const SaveMetrics& m) {
  note(fmt::format("step {}: checkpoint saved in {:.1f} s; training paused for {:.2f} s", m.step, m.save_seconds,
                   m.pause_seconds));
}

void Progress::draw(const std::string& bar) {
  std::fprintf(stdout, "\r%-*s", static_cast<int>(shown_.size()), bar.c_str());
  std::fflush(stdout);
  shown_ = bar;
}

void Progress::note(const std::string& line) {
  if (terminal_ && !shown_.empty()) std::fprintf(stdout, "\r%-*s\r", static_cast<int>(shown_.size()), "");
  log::info("{}", line);
  if (terminal_ && !shown_.empty()) draw(std::exchange(shown_, ""));
}

void Progress::finish() {
  if (terminal_ && !shown_.empty()) std::fprintf(stdout, "\n");
  shown_.clear();
}

}  // namespace tessera
