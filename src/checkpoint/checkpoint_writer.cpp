#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "device/buffer.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// Host memory for copies of slices, kept from one save to the next.
class Snapshot {
 public:
  explicit Snapshot(Device& device) : device_(device) {}

  /// The same slices, pointing into the snapshot.
  std::vector<TensorSlice> copy(std::vector<TensorSlice> slices) {
    int64_t needed = 0;
    for (const TensorSlice& slice : slices)
      for (const SliceValues& values : slice.values) needed += values.bytes(slice.count);
    if (needed > memory_.bytes()) {
      memory_.reset();  // first, so that old and new never exist together
      memory_ = Buffer(device_, needed, "the snapshot of a checkpoint", Memory::host);
    }
    auto* free = static_cast<char*>(memory_.data());
    for (TensorSlice& slice : slices)
      for (SliceValues& values : slice.values) {
        device_.copy(values.data, free, values.bytes(slice.count));
        values.data = std::exchange(free, free + values.bytes(slice.count));
      }
    return slices;
  }

 private:
  Device& device_;
  Buffer memory_;
};

}  // namespace

struct CheckpointWriter::State {
  State(Device& device, Memory place)
      : on_host(place == Memory::host || device.kind() == DeviceKind::cpu), snapshot(device) {}

  const bool on_host;  // the slices are where they can be written from
  std::atomic<Status> status{Status::idle};
  std::thread thread;
  Snapshot snapshot;
  ShardFile result;  // the thread writes these three before it sets the status
  std::string error;
  double save_seconds = 0;
  Clock::time_point begin;
  double pause_seconds = 0;

  void write(const std::filesystem::path& directory, const CheckpointInfo& info, int rank,
             const std::vector<TensorSlice>& slices) {
    Status ended = Status::written;
    try {
      result = write_shard(directory, info, rank, slices);
    } catch (const std::exception& failure) {
      error = failure.what();
      ended = Status::failed;
    }
    save_seconds = seconds_since(begin);
    status = ended;
  }
};

CheckpointWriter::CheckpointWriter(Device& device, Memory place) : state_(std::make_unique<State>(device, place)) {}

CheckpointWriter::~CheckpointWriter() { wait(); }

void CheckpointWriter::begin(const std::filesystem::path& step_directory, const CheckpointInfo& info, int rank,
                             const std::vector<TensorSlice>& slices, bool async) {
  const auto begin = Clock::now();
  wait();
  if (status() == Status::failed) throw DataError("{}", error());
  state_->begin = begin;
  state_->error.clear();
  if (async || !state_->on_host) {
    auto copies = state_->snapshot.copy(slices);
    state_->status = Status::writing;
    state_->thread = std::thread([state = state_.get(), step_directory, info, rank, copies] {
      state->write(step_directory, info, rank, copies);
    });
    if (!async) wait();
  } else {
    state_->status = Status::writing;
    state_->write(step_directory, info, rank, slices);
  }
  state_->pause_seconds = seconds_since(begin);
}

CheckpointWriter::Status CheckpointWriter::status() const { return state_->status; }

void CheckpointWriter::wait() {
  if (state_->thread.joinable()) state_->thread.join();
}

const ShardFile& CheckpointWriter::result() const {
  if (status() != Status::written) throw std::logic_error("CheckpointWriter::result: nothing has been written");
  return state_->result;
}

std::string CheckpointWriter::error() const { return status() == Status::failed ? state_->error : std::string(); }

void CheckpointWriter::acknowledge() {
  wait();
  state_->status = Status::idle;
}

double CheckpointWriter::pause_seconds() const { return state_->pause_seconds; }
double CheckpointWriter::save_seconds() const { return state_->save_seconds; }

}  // namespace tessera
