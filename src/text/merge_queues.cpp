#include "text/merge_queues.h"

#include <algorithm>
#include <functional>

namespace tessera {

void MergeQueues::Queue::push(int32_t position) {
  if (!its_turn) return early.push_back(position);
  late.push_back(position);
  std::push_heap(late.begin(), late.end(), std::greater<>());
}

void MergeQueues::Queue::begin_turn() {
  if (!std::is_sorted(early.begin(), early.end())) std::sort(early.begin(), early.end());
  its_turn = true;
}

int32_t MergeQueues::Queue::take() {
  if (late.empty() || (at < early.size() && early[at] <= late.front())) return early[at++];
  std::pop_heap(late.begin(), late.end(), std::greater<>());
  const int32_t position = late.back();
  late.pop_back();
  return position;
}

void MergeQueues::Queue::clear() {
  early.clear();
  late.clear();
  at = 0;
  its_turn = false;
}

MergeQueues::Queue& MergeQueues::queue_of(uint32_t rank) {
  if (rank >= queue_of_rank_.size()) queue_of_rank_.resize(static_cast<size_t>(rank) + 1, none);
  uint32_t& queue = queue_of_rank_[rank];
  if (queue != none) return queues_[queue];
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(queues_.size()));
    queues_.emplace_back();
  }
  queue = free_.back();
  free_.pop_back();
  ranks_.push_back(rank);
  std::push_heap(ranks_.begin(), ranks_.end(), std::greater<>());
  return queues_[queue];
}

void MergeQueues::end_turn(uint32_t rank) {
  queues_[queue_of_rank_[rank]].clear();
  free_.push_back(queue_of_rank_[rank]);
  queue_of_rank_[rank] = none;
}

void MergeQueues::clear() {
  for (const uint32_t rank : ranks_) end_turn(rank);
  ranks_.clear();
}

void MergeQueues::push(uint32_t rank, int32_t position) { queue_of(rank).push(position); }

bool MergeQueues::next(uint32_t& rank, int32_t& position) {
  while (!ranks_.empty()) {
    rank = ranks_.front();
    Queue& queue = queues_[queue_of_rank_[rank]];
    if (!queue.its_turn) queue.begin_turn();
    if (!queue.empty()) {
      position = queue.take();
      return true;
    }
    end_turn(rank);
    std::pop_heap(ranks_.begin(), ranks_.end(), std::greater<>());
    ranks_.pop_back();
  }
  return false;
}

}  // namespace tessera
