#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/unicode.h"

namespace tessera {

/// Bytes [begin, end) of the text that was given to encode().
struct Span {
  uint32_t begin = 0, end = 0;
  bool operator==(const Span&) const = default;
};

/// A tokenizer's rules make the text grow beyond any plausible size: rules that feed each other, such as "a" to "aa"
/// many times over.
struct TextGrew : DataError {
  explicit TextGrew(size_t most) : DataError("a part of the text grows beyond {} bytes", most) {}
};

/// A part of the text, perhaps normalized, that knows for each of its bytes which bytes of the given text it came from.
/// As long as nothing is changed it is only a view: each byte came from the character it belongs to.
class AlignedText {
 public:
  AlignedText(std::string_view unchanged, uint32_t position)
      : view_(unchanged), position_(position), most_(16 * unchanged.size() + (64 << 10)) {}

  std::string_view text() const { return changed_ ? std::string_view(owned_) : view_; }

  /// Where byte `at` of text() came from.
  Span span_at(size_t at) const { return {begin_at(at), end_at(at)}; }
  /// Where the bytes [begin, end) of text() came from; begin < end.
  Span source(size_t begin, size_t end) const { return {begin_at(begin), end_at(end - 1)}; }

  /// Throws TextGrew.
  void replace(std::string text, std::vector<Span> spans) {
    if (text.size() > most_) throw TextGrew(most_);
    *this = AlignedText(std::move(text), std::move(spans), most_);
  }
  /// Bytes that it may have: NFKC and ▁ for spaces make 13 of one at most.
  size_t most() const { return most_; }
  AlignedText slice(size_t begin, size_t end) const;

  /// Writes `prefix` before a text that is not empty; it takes the place of the first character.
  void prepend(std::string_view prefix);
  /// Every `from` becomes `to`, which takes the place of the last character that it stands for.
  void replace_all(std::string_view from, std::string_view to);

 private:
  friend class AlignedTextBuilder;
  AlignedText(std::string text, std::vector<Span> spans, size_t most)
      : owned_(std::move(text)), spans_(std::move(spans)), changed_(true), most_(most) {}

  uint32_t begin_at(size_t at) const {
    if (changed_) return spans_[at].begin;
    while (unicode::continues(view_[at])) --at;
    return position_ + static_cast<uint32_t>(at);
  }
  uint32_t end_at(size_t at) const {
    if (changed_) return spans_[at].end;
    for (++at; at < view_.size() && unicode::continues(view_[at]);) ++at;
    return position_ + static_cast<uint32_t>(at);
  }

  std::string_view view_;
  uint32_t position_ = 0;
  std::string owned_;
  std::vector<Span> spans_;
  bool changed_ = false;
  size_t most_;
};

/// Builds the text that replaces an AlignedText, piece by piece.
class AlignedTextBuilder {
 public:
  explicit AlignedTextBuilder(const AlignedText& from) : from_(from) {
    text_.reserve(from.text().size() + 16);
    spans_.reserve(from.text().size() + 16);
  }
  void keep(size_t begin, size_t end) {
    text_ += from_.text().substr(begin, end - begin);
    for (size_t at = begin; at < end; ++at) spans_.push_back(from_.span_at(at));
  }
  /// Throws TextGrew.
  void insert(std::string_view text, Span span) {
    if (text_.size() + text.size() > from_.most()) throw TextGrew(from_.most());
    text_ += text;
    spans_.insert(spans_.end(), text.size(), span);
  }
  AlignedText finish() { return AlignedText(std::move(text_), std::move(spans_), from_.most()); }

 private:
  const AlignedText& from_;
  std::string text_;
  std::vector<Span> spans_;
};

}  // namespace tessera
