#pragma once
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "cluster/waited.h"

namespace tessera {

/// A collective that a device runs by itself, and where its stream is.
class RunningCollective {
 public:
  enum class Place {
    ahead,   ///< the stream has not reached it: it still computes, or waits for another stream
    inside,  ///< it runs until every rank has reached it
    passed
  };

  explicit RunningCollective(std::string name) : name_(std::move(name)) {}
  virtual ~RunningCollective() = default;
  const std::string& name() const { return name_; }
  virtual Place place() const = 0;

 private:
  std::string name_;
};

/// The collectives of one stream, oldest first, and for how long the oldest has been running.  The host enqueues a
/// whole step ahead, so the time since enqueueing does not show which rank is late; only time inside a collective
/// counts.
class CollectiveWatch {
 public:
  using Clock = Waited::Clock;

  explicit CollectiveWatch(Clock::time_point now) : inside_(now) {}

  void add(std::unique_ptr<RunningCollective> collective) { collectives_.push_back(std::move(collective)); }

  /// Removes the collectives that the stream has passed. Call it every few milliseconds (waited.h).
  void look(Clock::time_point now) {
    inside_.look(now);
    while (!collectives_.empty() && collectives_.front()->place() == RunningCollective::Place::passed) {
      collectives_.pop_front();
      inside_.progress(now);
    }
    if (collectives_.empty() || collectives_.front()->place() == RunningCollective::Place::ahead) inside_.progress(now);
  }

  /// The collective that the stream is in or reaches next; null if there is none.
  const RunningCollective* oldest() const { return collectives_.empty() ? nullptr : collectives_.front().get(); }
  const std::deque<std::unique_ptr<RunningCollective>>& all() const { return collectives_; }

  /// Whether the oldest has been running for `timeout` seconds and this rank's turn; 0: no limit.
  bool is_late(double timeout, int rank) const {
    return timeout > 0 && oldest() != nullptr && inside_.total().count() >= timeout + turn_to_speak(timeout, rank);
  }

 private:
  std::deque<std::unique_ptr<RunningCollective>> collectives_;
  Waited inside_;
};

}  // namespace tessera
