#include "cluster/binding.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>
#include <thread>

#include "cluster/environment.h"

namespace tessera {
namespace {

struct Process {
  pid_t parent = 0;
  std::string program;
};

/// From /proc/PID/stat: "PID (program) state parent …".
Process process(pid_t id) {
  std::ifstream file("/proc/" + std::to_string(id) + "/stat");
  std::string text;
  std::getline(file, text);
  const size_t open = text.find('('), close = text.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close + 4 > text.size()) return {};
  return {static_cast<pid_t>(std::strtol(text.c_str() + close + 4, nullptr, 10)),
          text.substr(open + 1, close - open - 1)};
}

/// The process above this one that belongs to Open MPI, 0 where there is none.
pid_t launcher() {
  constexpr std::array<std::string_view, 4> launchers = {"mpirun", "mpiexec", "orterun", "orted"};
  for (pid_t id = getppid(); id > 1;) {
    const Process p = process(id);
    if (std::find(launchers.begin(), launchers.end(), p.program) != launchers.end()) return id;
    id = p.parent;
  }
  return 0;
}

bool binding_was_asked_for() {
  const char* mapping = std::getenv("OMPI_MCA_rmaps_base_mapping_policy");
  const std::string policy = mapping != nullptr ? mapping : "";
  return is_set("OMPI_MCA_hwloc_base_binding_policy") || is_set("OMPI_MCA_hwloc_base_cpu_list") ||
         is_set("OMPI_MCA_rmaps_rank_file_path") || policy.find("PE=") != std::string::npos ||
         policy.find("pe=") != std::string::npos;
}

/// mpirun bound this process because it does so by default.
bool is_bound_by_default() { return is_set("OMPI_MCA_orte_bound_at_launch") && !binding_was_asked_for(); }

/// Empty where the process may not be asked.
CpuSet cpus_of(pid_t id) {
  cpu_set_t mask;
  CpuSet cpus;
  if (sched_getaffinity(id, sizeof mask, &mask) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &mask)) cpus.insert(cpu);
  return cpus;
}

CpuSet cpus_of_launcher() {
  const pid_t above = launcher();
  return above == 0 ? CpuSet() : cpus_of(above);
}

CpuSet online_cpus() {
  CpuSet cpus;
  for (int cpu = 0; cpu < std::max(1, static_cast<int>(std::thread::hardware_concurrency())); ++cpu) cpus.insert(cpu);
  return cpus;
}

/// An optimisation: where it is refused, the process runs where it did.
void bind_to(const CpuSet& cpus) {
  if (cpus.empty()) return;
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (const int cpu : cpus) CPU_SET(cpu, &mask);
  sched_setaffinity(0, sizeof mask, &mask);
}

CpuSet siblings(int cpu) {
  std::ifstream file(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
  std::string text;
  std::getline(file, text);
  return parse_cpu_list(text);
}

}  // namespace

CpuSet parse_cpu_list(const std::string& text) {
  CpuSet cpus;
  std::istringstream ranges(text);
  for (std::string range; std::getline(ranges, range, ',');) {
    int first = 0, last = 0;
    const char* const end = range.data() + range.find_last_not_of(" \n") + 1;
    auto read = std::from_chars(range.data(), end, first);
    last = first;
    if (read.ec == std::errc() && read.ptr != end && *read.ptr == '-') read = std::from_chars(read.ptr + 1, end, last);
    if (read.ec != std::errc() || read.ptr != end || first < 0 || last >= CPU_SETSIZE) return {};
    for (int cpu = first; cpu <= last; ++cpu) cpus.insert(cpu);
  }
  return cpus;
}

std::string cpu_list_text(const CpuSet& cpus) {
  std::string text;
  for (auto first = cpus.begin(); first != cpus.end();) {
    auto last = first;
    while (std::next(last) != cpus.end() && *std::next(last) == *last + 1) ++last;
    text += fmt::format("{}{}", text.empty() ? "" : ",", *first);
    if (last != first) text += fmt::format("-{}", *last);
    first = std::next(last);
  }
  return text;
}

CpuSet allowed_cpus() { return cpus_of(0); }

void undo_binding_to_one_core() {
  if (is_bound_by_default() && is_one_core(allowed_cpus(), siblings)) bind_to(cpus_of_launcher());
}

CpuSet host_cpus() {
  const CpuSet of_launcher = cpus_of_launcher();
  return of_launcher.empty() ? online_cpus() : of_launcher;
}

int threads_of_share(int bound, int all, int ranks_of_host) {
  const int ranks_here = std::max(1, (ranks_of_host * bound + all - 1) / all);
  return std::max(1, bound / ranks_here);
}

void bind_near(const CpuSet& near) {
  if (binding_was_asked_for()) return;
  const CpuSet allowed = is_bound_by_default() ? cpus_of_launcher() : allowed_cpus();
  CpuSet both;
  std::set_intersection(near.begin(), near.end(), allowed.begin(), allowed.end(), std::inserter(both, both.end()));
  bind_to(both);
}

}  // namespace tessera
