#include "report/trace.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/log.h"
#include "cluster/agree.h"

namespace tessera {
namespace {

using Json = nlohmann::json;

/// What to add to the steady clock's seconds so that ranks agree.
double seconds_to_wall_clock() {
  const auto seconds = [](auto time) { return std::chrono::duration<double>(time.time_since_epoch()).count(); };
  return seconds(std::chrono::system_clock::now()) - seconds(std::chrono::steady_clock::now());
}

/// Every rank's text, one after another.
std::string gather_text(Communicator& world, std::string mine) {
  std::vector<int64_t> lengths(static_cast<size_t>(world.size()));
  const auto length = static_cast<int64_t>(mine.size());
  world.all_gather_host(&length, lengths.data(), sizeof length, "all_gather(lengths of the trace)");
  const int64_t longest = *std::max_element(lengths.begin(), lengths.end());
  mine.resize(static_cast<size_t>(longest));
  std::string padded(static_cast<size_t>(longest * world.size()), '\0');
  world.all_gather_host(mine.data(), padded.data(), longest, "all_gather(trace)");
  std::string all;
  for (size_t r = 0; r < lengths.size(); ++r)
    all.append(padded, r * static_cast<size_t>(longest), static_cast<size_t>(lengths[r]));
  return all;
}

}  // namespace

void Trace::add(std::vector<Profiler::Stretch> stretches) {
  const size_t room = most_stretches - stretches_.size();
  if (stretches.size() > room) {
    full_ = true;
    stretches.resize(room);
  }
  std::move(stretches.begin(), stretches.end(), std::back_inserter(stretches_));
}

std::string Trace::events(const Cluster& cluster) const {
  const double shift = seconds_to_wall_clock();
  const int pid = cluster.rank();
  std::string text;
  const auto add = [&text](const Json& event) { text += event.dump() + ",\n"; };
  const auto name = [&](const char* what, int tid, const std::string& value) {
    add({{"ph", "M"}, {"name", what}, {"pid", pid}, {"tid", tid}, {"args", {{"name", value}}}});
  };
  name("process_name", 0, fmt::format("rank {} ({})", cluster.rank(), cluster.host()));
  std::map<std::string, int> streams;
  for (const auto& stretch : stretches_) {
    const auto [stream, is_new] = streams.try_emplace(stretch.stream, static_cast<int>(streams.size()));
    if (is_new) name("thread_name", stream->second, stretch.stream);
    add({{"ph", "X"},
         {"name", stretch.name},
         {"pid", pid},
         {"tid", stream->second},
         {"ts", (stretch.begin + shift) * 1e6},
         {"dur", stretch.seconds * 1e6}});
  }
  return text;
}

void Trace::write(Cluster& cluster) const {
  std::string all = gather_text(cluster.world(), events(cluster));
  agree(cluster.world(), "writing the trace", [&] {
    if (cluster.rank() != 0) return;
    all.resize(all.size() - 2);  // JSON takes no comma behind the last
    write_text_durably(file_, "{\"traceEvents\": [\n" + all + "\n]}\n");
    log::info("trace: {}{}", file_.string(),
              full_ ? fmt::format(" (the first {} spans of each rank)", most_stretches) : std::string());
  });
}

}  // namespace tessera
