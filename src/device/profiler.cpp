#include "device/profiler.h"

#include <chrono>
#include <utility>

namespace tessera {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

Profiler::Profiler(Device& device) : device_(device) {}

std::unique_ptr<Timestamp> Profiler::take_timestamp() {
  if (spare_.empty()) return device_.make_timestamp();
  auto taken = std::move(spare_.back());
  spare_.pop_back();
  return taken;
}

void Profiler::begin(Stream& stream, Phase phase, std::string_view name) {
  last_[static_cast<size_t>(phase)] = open_.size();
  Open& open = open_.emplace_back(Open{phase, {}, {}, take_timestamp(), take_timestamp()});
  if (kept_wanted_) {
    open.name = name.empty() ? name_of(phase) : name;
    open.stream = stream.name();
  }
  open.begin->record(stream);
}

void Profiler::end(Stream& stream, Phase phase) { open_[last_[static_cast<size_t>(phase)]].end->record(stream); }

void Profiler::set_origin(Stream& stream) {
  origin_ = device_.make_timestamp();
  origin_->record(stream);
  stream.synchronize();
  origin_seconds_ = now();
}

void Profiler::move_origin(std::unique_ptr<Timestamp> to) {
  origin_seconds_ += to->seconds_since(*origin_);
  spare_.push_back(std::exchange(origin_, std::move(to)));
}

void Profiler::collect(Stream& stream) {
  const bool kept = kept_wanted_ && origin_ != nullptr;
  for (Open& open : open_) {
    const double spent = open.end->seconds_since(*open.begin);
    seconds_[static_cast<size_t>(open.phase)] += spent;
    if (kept)
      kept_.push_back(
          {std::move(open.name), std::move(open.stream), origin_seconds_ + open.begin->seconds_since(*origin_), spent});
  }
  if (kept && !open_.empty()) move_origin(std::exchange(open_.back().end, nullptr));
  for (Open& open : open_) {
    spare_.push_back(std::move(open.begin));
    if (open.end != nullptr) spare_.push_back(std::move(open.end));
  }
  open_.clear();
  if (kept_wanted_ && origin_ == nullptr) set_origin(stream);
}

}  // namespace tessera
