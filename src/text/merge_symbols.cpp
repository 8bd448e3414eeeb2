#include <algorithm>

#include "text/byte_pair_model.h"

namespace tessera {
namespace {

constexpr size_t short_word = 48;  // symbols up to which looking at every pair is faster than a heap

/// Looks for the best pair again after every merge: quadratic, but nothing is faster for a word.
void merge_short(const Merges& merges, BytePairScratch& scratch) {
  auto& symbols = scratch.symbols;
  auto& pairs = scratch.merges;
  pairs.resize(symbols.size() - 1);
  for (size_t i = 0; i + 1 < symbols.size(); ++i) pairs[i] = merges.find(symbols[i].id, symbols[i + 1].id);
  while (!pairs.empty()) {
    const auto best =
        std::min_element(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) { return a.rank < b.rank; });
    if (best->rank == Merges::no_rank) return;
    const auto at = best - pairs.begin();
    symbols[at] = {best->id, symbols[at].length + symbols[at + 1].length};
    symbols.erase(symbols.begin() + at + 1);
    pairs.erase(best);
    if (at > 0) pairs[at - 1] = merges.find(symbols[at - 1].id, symbols[at].id);
    if (static_cast<size_t>(at) < pairs.size()) pairs[at] = merges.find(symbols[at].id, symbols[at + 1].id);
  }
}

/// Keeps the pairs in queues by rank and the symbols in a linked list: about linear for a text that repeats itself, and
/// n log n for any.
class LongMerge {
 public:
  LongMerge(const Merges& merges, BytePairScratch& scratch)
      : merges_(merges), symbols_(scratch.symbols), links_(scratch.links), queues_(scratch.queues) {}

  void run() {
    const auto count = static_cast<int32_t>(symbols_.size());
    links_.resize(symbols_.size());
    queues_.clear();
    for (int32_t i = 0; i < count; ++i) {
      links_[i] = {i - 1, i + 1 < count ? i + 1 : none};
      if (i + 1 < count) add(i, i + 1);
    }
    uint32_t rank = 0;
    for (int32_t position = 0; queues_.next(rank, position);) merge(rank, position);
    std::erase_if(symbols_, [](const Symbol& symbol) { return symbol.length == 0; });
  }

 private:
  static constexpr int32_t none = -1;

  void add(int32_t left, int32_t right) {
    const Merges::Merge found = merges_.find(symbols_[left].id, symbols_[right].id);
    if (found.rank != Merges::no_rank) queues_.push(found.rank, left);
  }

  void merge(uint32_t rank, int32_t left) {
    const int32_t right = links_[left].next;
    if (symbols_[left].length == 0 || right == none) return;
    // The pair may have changed since it was put into the queue.
    const Merges::Merge found = merges_.find(symbols_[left].id, symbols_[right].id);
    if (found.rank != rank) return;
    symbols_[left] = {found.id, symbols_[left].length + symbols_[right].length};
    symbols_[right].length = 0;
    const int32_t after = links_[right].next, before = links_[left].previous;
    links_[left].next = after;
    if (after != none) links_[after].previous = left;
    if (before != none) add(before, left);
    if (after != none) add(left, after);
  }

  const Merges& merges_;
  std::vector<Symbol>& symbols_;
  std::vector<BytePairScratch::Link>& links_;
  MergeQueues& queues_;
};

}  // namespace

void merge_symbols(const Merges& merges, BytePairScratch& scratch) {
  if (scratch.symbols.size() < 2) return;
  if (scratch.symbols.size() <= short_word) {
    merge_short(merges, scratch);
  } else {
    LongMerge(merges, scratch).run();
  }
}

}  // namespace tessera
