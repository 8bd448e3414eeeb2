#include "text/aligned_text.h"

#include <cstddef>

namespace tessera {

AlignedText AlignedText::slice(size_t begin, size_t end) const {
  if (!changed_) return AlignedText(view_.substr(begin, end - begin), position_ + static_cast<uint32_t>(begin));
  return AlignedText(owned_.substr(begin, end - begin),
                     std::vector<Span>(spans_.begin() + static_cast<std::ptrdiff_t>(begin),
                                       spans_.begin() + static_cast<std::ptrdiff_t>(end)),
                     most_);
}

void AlignedText::prepend(std::string_view prefix) {
  if (text().empty()) return;
  AlignedTextBuilder builder(*this);
  builder.insert(prefix, span_at(0));
  builder.keep(0, text().size());
  *this = builder.finish();
}

void AlignedText::replace_all(std::string_view from, std::string_view to) {
  size_t found = text().find(from);
  if (found == std::string_view::npos) return;
  AlignedTextBuilder builder(*this);
  size_t done = 0;
  for (; found != std::string_view::npos; found = text().find(from, done)) {
    builder.keep(done, found);
    done = found + from.size();
    builder.insert(to, span_at(done - 1));
  }
  builder.keep(done, text().size());
  *this = builder.finish();
}

}  // namespace tessera
