#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "device/device.h"

namespace tessera {

/// A stream of the CPU: a worker thread with a queue.  It sleeps when idle, because a rank's compute and communication
/// threads may share one core.
class CpuStream final : public Stream {
 public:
  CpuStream(Device& device, std::string name, int threads);
  /// Runs what is still in the queue.
  ~CpuStream() override;

  Device& device() override { return device_; }
  const std::string& name() const override { return name_; }
  void enqueue(std::function<void()> work) override { push({std::move(work), OnFailure::drop}); }
  void transfer(const void* from, void* to, int64_t bytes) override;
  void synchronize() override;

  /// Work that runs even if earlier work failed, and does not throw: events always pass, since another stream may wait
  /// for them.
  void enqueue_always(std::function<void()> work) { push({std::move(work), OnFailure::run}); }

 private:
  enum class OnFailure { drop, run };
  struct Item {
    std::function<void()> work;
    OnFailure on_failure;
  };

  static constexpr int64_t nobody_waits = std::numeric_limits<int64_t>::max();

  void push(Item item);
  void run_queue(int threads);
  void run(Item item) noexcept;

  Device& device_;
  const std::string name_;

  std::mutex mutex_;  // guards everything below
  std::condition_variable work_arrived_;
  std::condition_variable work_finished_;
  std::deque<Item> queue_;
  int64_t pushed_ = 0;
  int64_t finished_ = 0;
  int64_t awaited_ = nobody_waits;  // the least of finished_ that a thread in synchronize() sleeps until
  bool idle_ = false;               // the worker sleeps
  bool stop_ = false;
  std::exception_ptr failure_;

  std::thread worker_;  // last: it uses the rest from its first moment
};

class CpuTimestamp final : public Timestamp {
 public:
  void record(Stream& stream) override;
  double seconds_since(const Timestamp& earlier) const override;

 private:
  using Time = std::chrono::steady_clock::time_point;
  // Written by the stream, which may pass after this is gone; read after it was synchronised.
  std::shared_ptr<Time> time_ = std::make_shared<Time>();
};

/// An event of the CPU.  Each record() makes a new point, so that a wait refers to the record before it even if the
/// event is recorded again, on any stream.
class CpuEvent final : public Event {
 public:
  void record(Stream& stream) override;
  void wait(Stream& stream) override;
  void synchronize() override;

 private:
  class Point;
  std::shared_ptr<Point> last() const;

  mutable std::mutex mutex_;
  std::shared_ptr<Point> last_;
};

}  // namespace tessera
