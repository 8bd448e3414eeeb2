#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace tessera::log {
namespace {

struct State {
  std::string prefix;
  bool print_information = true;
  std::shared_ptr<spdlog::logger> out = spdlog::stdout_logger_mt("out");
  std::shared_ptr<spdlog::logger> err = spdlog::stderr_logger_mt("err");

  State() {
    out->set_pattern("%v");
    err->set_pattern("%v");
    out->flush_on(spdlog::level::info);
  }
};

State& state() {
  static State state;
  return state;
}

}  // namespace

void set_up(std::string prefix, bool print_information) {
  state().prefix = std::move(prefix);
  state().print_information = print_information;
}

void write_information(std::string_view line) {
  if (state().print_information) state().out->info("{}", line);
}

void write_warning(std::string_view line) { state().err->warn("{}warning: {}", state().prefix, line); }

void write_error(std::string_view line) { state().err->error("{}error: {}", state().prefix, line); }

}  // namespace tessera::log
