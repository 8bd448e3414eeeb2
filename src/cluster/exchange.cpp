#include "cluster/exchange.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "base/number.h"
#include "cluster/waited.h"

namespace tessera {
namespace {

using Clock = Waited::Clock;

/// Enough that the peer finds work while this rank sleeps between two looks.
constexpr int64_t pieces_in_flight = 16;
/// A ticket is the flow's number and the piece's slot.
constexpr int64_t tickets_a_flow = 64;

/// Looks again a few times, then sleeps a sixteenth of the time it has slept so far, which costs a long wait little
/// time and little processor.  It does not yield: a thread that yields its core to a computing thread gets it back a
/// scheduler's slice of milliseconds later; one that wakes up gets it at once.
class Backoff {
 public:
  void reset() { *this = {}; }
  void wait() {
    if (++tries_ <= immediate_tries) return;
    const auto sleep = std::clamp(slept_ / 16, shortest_sleep, longest_sleep);
    std::this_thread::sleep_for(sleep);
    slept_ += sleep;
  }

 private:
  using Duration = std::chrono::nanoseconds;
  static constexpr int immediate_tries = 8;
  static constexpr Duration shortest_sleep = std::chrono::microseconds(10);
  static constexpr Duration longest_sleep = std::chrono::milliseconds(2);
  int tries_ = 0;
  Duration slept_{0};
};

std::string joined(const std::set<int>& ranks) { return fmt::format("{}", fmt::join(ranks, ", ")); }

}  // namespace

Exchange::Exchange(Transport& transport, Lane lane, std::string name, double timeout_seconds)
    : transport_(transport),
      messages_(transport.open(lane)),
      name_(std::move(name)),
      timeout_seconds_(timeout_seconds) {}

int Exchange::add(Flow flow) {
  if (flow.slots > tickets_a_flow) throw std::logic_error("more pieces in flight than a flow has tickets");
  flows_.push_back(std::move(flow));
  return narrow<int>(flows_.size()) - 1;
}

void Exchange::send(int peer, const void* data, int64_t bytes, int64_t piece_bytes) {
  auto* source = static_cast<char*>(const_cast<void*>(data));  // only read: a flow out is never written to
  add({Direction::out, peer, source, bytes, piece_bytes, pieces_in_flight, false, ceil_div(bytes, piece_bytes)});
}

void Exchange::receive(int peer, void* data, int64_t bytes) {
  auto* target = static_cast<char*>(data);
  add({Direction::in, peer, target, bytes, default_piece_bytes, pieces_in_flight, false,
       ceil_div(bytes, default_piece_bytes)});
}

int Exchange::receive_in_ring(int peer, void* ring, int slots, int64_t bytes, int64_t piece_bytes) {
  auto* target = static_cast<char*>(ring);
  return add({Direction::in, peer, target, bytes, piece_bytes, slots, true, ceil_div(bytes, piece_bytes)});
}

void Exchange::post(int index) {
  Flow& flow = flows_[static_cast<size_t>(index)];
  while (flow.posted < flow.pieces && flow.posted - flow.released < flow.slots) {
    const int64_t slot = flow.posted % flow.slots;
    char* data = flow.data + (flow.ring ? slot : flow.posted) * flow.piece_bytes;
    const int64_t bytes = std::min(flow.piece_bytes, flow.bytes - flow.posted * flow.piece_bytes);
    const int64_t ticket = index * tickets_a_flow + slot;
    if (flow.direction == Direction::out) {
      messages_->send(flow.peer, data, bytes, ticket);
    } else {
      messages_->receive(flow.peer, data, bytes, ticket);
    }
    ++flow.posted;
  }
}

void Exchange::start() {
  for (int i = 0; i < narrow<int>(flows_.size()); ++i) post(i);
}

void Exchange::mark_through(int64_t ticket) {
  const auto index = static_cast<int>(ticket / tickets_a_flow);
  Flow& flow = flows_[static_cast<size_t>(index)];
  flow.through[static_cast<size_t>(ticket % tickets_a_flow)] = true;
  while (flow.arrived < flow.posted && flow.through[static_cast<size_t>(flow.arrived % flow.slots)]) {
    flow.through[static_cast<size_t>(flow.arrived % flow.slots)] = false;
    ++flow.arrived;
  }
  if (!flow.ring) flow.released = flow.arrived;
  post(index);
}

void Exchange::wait_until(const std::function<bool()>& done) {
  Backoff backoff;
  Waited waited(Clock::now());
  start();
  while (!done()) {
    finished_.clear();
    waited.look(Clock::now());  // before looking: what arrived in a gap is seen before the time is up
    messages_->poll(finished_);
    if (finished_.empty()) {
      check_timeout(waited.total());
      backoff.wait();
      continue;
    }
    for (const int64_t ticket : finished_) mark_through(ticket);
    waited.progress(Clock::now());
    backoff.reset();
  }
}

const void* Exchange::wait_piece(int flow, int64_t piece) {
  const Flow& f = flows_[static_cast<size_t>(flow)];
  wait_until([&] { return f.arrived > piece; });
  return f.data + piece % f.slots * f.piece_bytes;
}

void Exchange::release_piece(int flow) {
  ++flows_[static_cast<size_t>(flow)].released;
  post(flow);
}

void Exchange::finish() {
  wait_until([this] {
    return std::all_of(flows_.begin(), flows_.end(), [](const Flow& flow) { return flow.arrived == flow.pieces; });
  });
}

void Exchange::check_timeout(std::chrono::duration<double> waited) const {
  if (timeout_seconds_ <= 0) return;
  if (waited.count() >= timeout_seconds_ + turn_to_speak(timeout_seconds_, transport_.rank())) throw_late();
}

void Exchange::throw_late() const {
  std::set<int> came;      // something of this collective came from them
  std::set<int> expected;  // data of theirs is waited for
  std::set<int> taking;    // they took some of this rank's data
  std::set<int> unfinished;
  for (const Flow& flow : flows_) {
    // A short message may be sent before the peer looks for it: only what came from a peer shows that it is there.
    if (flow.arrived > 0) (flow.direction == Direction::in ? came : taking).insert(flow.peer);
    if (flow.arrived == flow.pieces || flow.posted == flow.arrived) continue;
    unfinished.insert(flow.peer);
    if (flow.direction == Direction::in) expected.insert(flow.peer);
  }
  std::set<int> late, silent, full;  // never reached it; stopped sending; stopped receiving
  for (const int peer : unfinished) {
    const bool waits = expected.contains(peer), is_there = came.contains(peer) || (!waits && taking.contains(peer));
    (!is_there ? late : waits ? silent : full).insert(peer);
  }
  // A rank that receives no more may itself wait for one that sends no more, and both for one that never came.
  const std::set<int>& missing = !late.empty() ? late : !silent.empty() ? silent : full;
  std::set<int> waiting = came;
  waiting.insert(transport_.rank());
  for (const int peer : missing) waiting.erase(peer);

  std::vector<std::string> names;
  for (const int peer : missing) {
    const Peer& who = transport_.peers()[static_cast<size_t>(peer)];
    names.push_back(fmt::format("{} ({})", who.world_rank, who.host));
  }
  std::set<int> waiting_in_world;
  for (const int peer : waiting) waiting_in_world.insert(transport_.peers()[static_cast<size_t>(peer)].world_rank);
  const bool many = names.size() > 1, many_wait = waiting.size() > 1;
  throw ClusterError(
      "rank{} {} {} {} {} for {} s; rank{} {} wait{} there. Stopping. Check {}, then run the job again; it resumes "
      "from its last checkpoint. ([network] timeout_seconds sets this limit.)",
      many ? "s" : "", fmt::join(names, ", "), many ? "have" : "has",
      late.empty() ? "stopped in the middle of" : "not reached", name_, timeout_seconds_, many_wait ? "s" : "",
      joined(waiting_in_world), many_wait ? "" : "s", many ? "these hosts" : "this host");
}

}  // namespace tessera
