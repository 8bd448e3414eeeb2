#include "device/cpu_stream.h"

#include <omp.h>
#include <pthread.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "base/log.h"

namespace tessera {
namespace {

/// What a failure says, for the log.
std::string message_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

CpuStream& cpu_stream(Stream& stream) {
  auto* cpu = dynamic_cast<CpuStream*>(&stream);
  if (cpu == nullptr) throw std::logic_error("an event of the CPU was given a stream of another device");
  return *cpu;
}

}  // namespace

CpuStream::CpuStream(Device& device, std::string name, int threads)
    : device_(device), name_(std::move(name)), worker_([this, threads] { run_queue(threads); }) {}

CpuStream::~CpuStream() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_arrived_.notify_one();
  worker_.join();
  if (failure_) log::error("stream {} ended with an unreported error: {}", name_, message_of(failure_));
}

void CpuStream::push(Item item) {
  bool wake;
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(item));
    ++pushed_;
    wake = std::exchange(idle_, false);
  }
  if (wake) work_arrived_.notify_one();
}

void CpuStream::transfer(const void* from, void* to, int64_t bytes) {
  enqueue([this, from, to, bytes] { device_.copy(from, to, bytes); });
}

void CpuStream::synchronize() {
  if (std::this_thread::get_id() == worker_.get_id()) {
    throw std::logic_error("stream " + name_ + " was asked to wait for itself");
  }
  device_.count_wait();
  std::unique_lock lock(mutex_);
  const int64_t target = pushed_;
  while (finished_ < target) {
    awaited_ = std::min(awaited_, target);
    work_finished_.wait(lock);
  }
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void CpuStream::run_queue(int threads) {
  pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());  // 15: what Linux keeps of a thread's name
  omp_set_num_threads(threads);                                     // for oneDNN's parallel regions on this thread
  std::unique_lock lock(mutex_);
  while (true) {
    while (queue_.empty() && !stop_) {
      idle_ = true;
      work_arrived_.wait(lock);
    }
    if (queue_.empty()) return;
    Item item = std::move(queue_.front());
    queue_.pop_front();
    const bool drop = failure_ != nullptr && item.on_failure == OnFailure::drop;
    lock.unlock();
    if (drop) {
      item = {};
    } else {
      run(std::move(item));
    }
    lock.lock();
    ++finished_;
    if (finished_ < awaited_) continue;
    awaited_ = nobody_waits;  // threads that still wait set it again
    work_finished_.notify_all();
  }
}

/// Takes the item, so that what the work holds is let go before the work counts as finished.
void CpuStream::run(Item item) noexcept {  // NOLINT(performance-unnecessary-value-param): it has to end here
  try {
    item.work();
  } catch (...) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
  }
}

void CpuTimestamp::record(Stream& stream) {
  cpu_stream(stream).enqueue_always([time = time_] { *time = std::chrono::steady_clock::now(); });
}

double CpuTimestamp::seconds_since(const Timestamp& earlier) const {
  return std::chrono::duration<double>(*time_ - *static_cast<const CpuTimestamp&>(earlier).time_).count();
}

/// One recorded point of a stream; passes once.
class CpuEvent::Point {
 public:
  void pass() {
    {
      const std::lock_guard lock(mutex_);
      passed_ = true;
    }
    passed_now_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    passed_now_.wait(lock, [this] { return passed_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable passed_now_;
  bool passed_ = false;
};

std::shared_ptr<CpuEvent::Point> CpuEvent::last() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

void CpuEvent::record(Stream& stream) {
  auto point = std::make_shared<Point>();
  {
    const std::lock_guard lock(mutex_);
    last_ = point;
  }
  cpu_stream(stream).enqueue_always([point = std::move(point)] { point->pass(); });
}

void CpuEvent::wait(Stream& stream) {
  if (auto point = last()) cpu_stream(stream).enqueue_always([point = std::move(point)] { point->wait(); });
}

void CpuEvent::synchronize() {
  if (const auto point = last()) point->wait();
}

}  // namespace tessera
