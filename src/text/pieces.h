#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/aligned_text.h"

namespace tessera {

/// A text before the model: cut into pieces, some of which are already added tokens.
struct Piece {
  static constexpr int32_t no_token = -1;
  uint32_t buffer;      ///< which of Pieces::buffers it lies in
  uint32_t begin, end;  ///< bytes of that buffer's text; never empty
  int32_t token;        ///< the added token that it is, or no_token: the model has yet to say
};

struct Pieces {
  std::vector<AlignedText> buffers;
  std::vector<Piece> list;
  std::vector<Piece> next;  ///< the list that a step is making

  std::string_view text(const Piece& piece) const {
    return buffers[piece.buffer].text().substr(piece.begin, piece.end - piece.begin);
  }
  Span source(const Piece& piece, size_t begin, size_t end) const {
    return buffers[piece.buffer].source(piece.begin + begin, piece.begin + end);
  }
  uint32_t add_buffer(AlignedText buffer) {
    buffers.push_back(std::move(buffer));
    return static_cast<uint32_t>(buffers.size() - 1);
  }
  /// Appends bytes [begin, end) of `piece` to the list in the making, unless there are none.
  void keep(const Piece& piece, size_t begin, size_t end) {
    if (begin == end) return;
    next.push_back({piece.buffer, piece.begin + static_cast<uint32_t>(begin), piece.begin + static_cast<uint32_t>(end),
                    Piece::no_token});
  }
  void clear() {
    buffers.clear();
    list.clear();
    next.clear();
  }

  /// Replaces every piece that is not a token by what `step(piece)` keeps of it.
  template <typename Step>
  void for_each(Step step) {
    next.clear();
    for (const Piece piece : list) {
      if (piece.token == Piece::no_token) {
        step(piece);
      } else {
        next.push_back(piece);
      }
    }
    list.swap(next);
  }
};

}  // namespace tessera
