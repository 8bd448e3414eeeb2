#include "cluster/agree.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <vector>

namespace tessera {
namespace {

/// The group's timeout while it lives.
class TimeoutDuring {
 public:
  TimeoutDuring(Communicator& group, double seconds) : group_(group), before_(group.timeout()) {
    group_.set_timeout(seconds);
  }
  ~TimeoutDuring() { group_.set_timeout(before_); }
  TimeoutDuring(const TimeoutDuring&) = delete;
  TimeoutDuring& operator=(const TimeoutDuring&) = delete;

 private:
  Communicator& group_;
  double before_;
};

struct Outcome {
  int32_t code = 0;       // an ExitCode
  int32_t elsewhere = 0;  // 1: an agreement inside the work failed, for another rank's error
  std::exception_ptr error;
};

Outcome run(const std::function<void()>& work) {
  try {
    work();
    return {};
  } catch (const FailedElsewhere& error) {
    return {static_cast<int32_t>(error.code()), 1, std::current_exception()};
  } catch (const Error& error) {
    return {static_cast<int32_t>(error.code()), 0, std::current_exception()};
  } catch (const std::filesystem::filesystem_error&) {
    return {static_cast<int32_t>(ExitCode::bad_data), 0, std::current_exception()};
  } catch (...) {
    return {static_cast<int32_t>(ExitCode::cluster_failed), 0, std::current_exception()};
  }
}

}  // namespace

void agree(Communicator& group, const std::string& name, const std::function<void()>& work, Patience patience) {
  const Outcome own = run(work);
  const std::array<int32_t, 2> status = {own.code, own.elsewhere};
  std::vector<std::array<int32_t, 2>> all(static_cast<size_t>(group.size()));
  {
    const TimeoutDuring waiting(group, patience == Patience::unlimited ? 0 : group.timeout());
    group.all_gather_host(status.data(), all.data(), sizeof status, name);
  }
  const auto has_error = [](const auto& s) { return s[0] != 0 && s[1] == 0; };
  const auto failed = [](const auto& s) { return s[0] != 0; };
  auto speaker = std::find_if(all.begin(), all.end(), has_error);
  if (speaker == all.end()) speaker = std::find_if(all.begin(), all.end(), failed);
  if (speaker == all.end()) return;
  if (speaker - all.begin() == group.rank()) std::rethrow_exception(own.error);
  throw FailedElsewhere(static_cast<ExitCode>((*speaker)[0]));
}

}  // namespace tessera
