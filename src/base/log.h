#pragma once
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

/// The one logger.  Rank 0 prints information to standard output; every rank prints warnings and errors to standard
/// error, each line naming host and rank once there is more than one.
namespace tessera::log {

/// `prefix` ("rank 3 (node4): ", empty for a single rank) stands before warnings and errors; `print_information` is
/// true on the rank that prints to the user.
void set_up(std::string prefix, bool print_information);

void write_information(std::string_view line);
void write_warning(std::string_view line);
void write_error(std::string_view line);

template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write_information(fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  write_warning(fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write_error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace tessera::log
