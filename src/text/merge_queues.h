#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera {

/// Places where a pair of symbols may be merged, in the order in which they are: by rank, the leftmost of a rank first.
/// A long text has few ranks and many places of each, which are mostly added from left to right: so each rank has a
/// list, sorted once when its turn comes, and only the ranks lie in a heap.
class MergeQueues {
 public:
  void push(uint32_t rank, int32_t position);
  /// Takes the next place; false where there is none left.
  bool next(uint32_t& rank, int32_t& position);
  void clear();  ///< of what an error left behind

 private:
  /// The places of one rank.
  struct Queue {
    std::vector<int32_t> early;  ///< added before its turn; sorted from then on
    std::vector<int32_t> late;   ///< added since, a heap
    size_t at = 0;               ///< of early
    bool its_turn = false;

    bool empty() const { return at == early.size() && late.empty(); }
    void push(int32_t position);
    void begin_turn();
    int32_t take();
    void clear();
  };
  static constexpr uint32_t none = UINT32_MAX;
  Queue& queue_of(uint32_t rank);
  void end_turn(uint32_t rank);

  std::vector<uint32_t> ranks_;  ///< that have a queue, a heap
  std::vector<uint32_t> queue_of_rank_;
  std::vector<Queue> queues_;
  std::vector<uint32_t> free_;  ///< queues that no rank has
};

}  // namespace tessera
