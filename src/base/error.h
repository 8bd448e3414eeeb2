#pragma once
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "base/excerpt.h"

namespace tessera {

/// The exit status (docs/architecture.md#exit-codes).
enum class ExitCode : int {
  done = 0,
  wrong_job = 2,       ///< the job file or the command is wrong
  cluster_failed = 3,  ///< a rank, a host, a device or the network failed
  bad_data = 4,        ///< a data set, a model directory or a checkpoint cannot be used
  asked_to_stop = 75,  ///< stopped by a signal; the state is saved, the same command resumes
};

/// Every error of the program: its text says what happened, where, and what to do next. Only main turns one into an
/// exit code. A very long message is truncated.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(excerpt(message, 16'000)), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

template <ExitCode exit_code>
class ErrorOf : public Error {
 public:
  template <typename... Args>
  explicit ErrorOf(fmt::format_string<Args...> format, Args&&... args)
      : Error(exit_code, fmt::format(format, std::forward<Args>(args)...)) {}
};
using JobError = ErrorOf<ExitCode::wrong_job>;
using ClusterError = ErrorOf<ExitCode::cluster_failed>;
using DataError = ErrorOf<ExitCode::bad_data>;

}  // namespace tessera
