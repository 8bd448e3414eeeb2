#include "data/chat_mask.h"

#include <algorithm>

#include "base/number.h"
#include "data/batch.h"

namespace tessera {
namespace {

bool is_trained(const ChatPiece& piece, const std::vector<bool>& trained) {
  return piece.message >= 0 && trained.at(static_cast<size_t>(piece.message));
}

/// The index of the last end of a trained turn; none: pieces.size().
size_t last_trained_end(const std::vector<ChatPiece>& pieces, const std::vector<bool>& trained) {
  for (size_t i = pieces.size(); i-- > 0;)
    if (pieces[i].kind == ChatPiece::Kind::end_of_turn && is_trained(pieces[i], trained)) return i;
  return pieces.size();
}

}  // namespace

std::vector<ByteRange> trained_ranges(const std::vector<ChatPiece>& pieces, const std::vector<bool>& trained,
                                      TrainOnEos train_on_eos) {
  const size_t last_end = last_trained_end(pieces, trained);
  const auto carries_loss = [&](size_t i) {
    if (pieces[i].kind == ChatPiece::Kind::scaffold) return false;
    if (pieces[i].kind == ChatPiece::Kind::content) return is_trained(pieces[i], trained);
    switch (train_on_eos) {
      case TrainOnEos::turn:
        return is_trained(pieces[i], trained);
      case TrainOnEos::last:
        return i == last_end;
      case TrainOnEos::all:
        return true;
      case TrainOnEos::none:
        return false;
    }
    return false;
  };
  std::vector<ByteRange> ranges;
  int64_t begin = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const int64_t end = begin + narrow<int64_t>(pieces[i].text.size());
    if (end > begin && carries_loss(i)) ranges.push_back({begin, end});
    begin = end;
  }
  return ranges;
}

std::vector<int32_t> labels_of(const Encoding& encoding, const std::vector<ByteRange>& ranges) {
  std::vector<int32_t> labels(encoding.ids.size(), ignored_label);
  for (size_t i = 0; i < labels.size(); ++i) {
    const auto [begin, end] = encoding.offsets[i];
    const auto range = std::upper_bound(ranges.begin(), ranges.end(), begin,
                                        [](int64_t at, const ByteRange& candidate) { return at < candidate.end; });
    // A token that covers nothing by itself counts as standing on the byte where it begins.
    if (range != ranges.end() && range->begin < std::max(end, begin + 1)) labels[i] = encoding.ids[i];
  }
  return labels;
}

}  // namespace tessera
