#include "text/unicode_normalization.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

namespace tessera {
namespace {

/// A character of the result, and how it came about: 1 = new, 0 = instead of one character, -n = instead of n + 1.
struct Change {
  char32_t character;
  int change;
  int combining_class;
};

int combining_class(char32_t c) {
  return c < 0x300 ? 0 : utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
}

/// A character that NFC leaves as it is whatever stands around it, by ranges: the common scripts.
bool stays_in_nfc(char32_t c) {
  if (c < 0x300) return true;
  if (c < 0x900) return c >= 0x400 && (c < 0x483 || (c > 0x489 && c < 0x591));
  return (c >= 0x1E00 && c < 0x1F00) || (c >= 0x2010 && c < 0x20D0) || (c >= 0x2190 && c < 0x2329) ||
         (c >= 0x232B && c < 0x2ADC) || (c >= 0x3003 && c < 0x302A) || (c >= 0x3041 && c < 0x3099) ||
         (c >= 0x309B && c < 0xA66F) || (c >= 0xAC00 && c < 0xD7A4) || (c >= 0xFF00 && c < 0xFFF0) ||
         (c >= 0x1F000 && c < 0x1FBF0);
}

bool stays_in_nfc(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0xCC) {  // below U+0300, whose first byte is CC
      ++at;
    } else if (!stays_in_nfc(unicode::next(text, at))) {
      return false;
    }
  }
  return true;
}

void sort_marks(std::vector<Change>& characters, size_t from) {
  std::stable_sort(characters.begin() + static_cast<std::ptrdiff_t>(from), characters.end(),
                   [](const Change& a, const Change& b) { return a.combining_class < b.combining_class; });
}

std::vector<Change> decompose(std::string_view text, bool compatible) {
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0));
  std::vector<Change> result;
  result.reserve(text.size());
  size_t unordered = 0;  // the marks from here on are not yet in canonical order
  for (size_t at = 0; at < text.size();) {
    std::array<utf8proc_int32_t, 32> parts;  // the longest decomposition has 18
    int boundary = 0;
    const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(unicode::next(text, at)), parts.data(),
                                               parts.size(), options, &boundary);
    for (utf8proc_ssize_t i = 0; i < count; ++i) {
      const auto part = static_cast<char32_t>(parts[i]);
      const int order = combining_class(part);
      if (order == 0) {
        if (unordered < result.size()) sort_marks(result, unordered);
        unordered = result.size() + 1;
      }
      result.push_back({part, i == 0 ? 0 : 1, order});
    }
  }
  if (unordered < result.size()) sort_marks(result, unordered);
  return result;
}

/// The character that two compose to; 0 for none.
char32_t compose(char32_t first, char32_t second) {
  if (second < 0x300) return 0;
  utf8proc_int32_t pair[2] = {static_cast<utf8proc_int32_t>(first), static_cast<utf8proc_int32_t>(second)};
  const auto count =
      utf8proc_normalize_utf32(pair, 2, static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  return count == 1 ? static_cast<char32_t>(pair[0]) : 0;
}

std::vector<Change> compose(const std::vector<Change>& parts) {
  std::vector<Change> result;
  result.reserve(parts.size());
  constexpr size_t none = SIZE_MAX;
  size_t starter = none;  // the last character of class 0 in the result
  for (const Change& next : parts) {
    // Characters between the starter and this one block it, unless all of them are of a lower class than its own.
    const bool adjacent = starter + 1 == result.size();
    const bool blocked = starter == none || (!adjacent && result.back().combining_class >= next.combining_class);
    const char32_t joined = blocked ? 0 : compose(result[starter].character, next.character);
    if (joined) {
      result[starter].character = joined;
      result[starter].change += next.change - 1;
      continue;
    }
    if (next.combining_class == 0) starter = result.size();
    result.push_back(next);
  }
  return result;
}

void apply_changes(AlignedText& text, const std::vector<Change>& changes) {
  const std::string_view before = text.text();
  std::string after;
  std::vector<Span> spans;
  after.reserve(before.size());
  spans.reserve(before.size());
  size_t at = 0;
  for (const Change& change : changes) {
    const Span span = text.span_at(change.change > 0 && at > 0 ? at - 1 : at);
    for (int i = change.change; i <= 0; ++i) at += unicode::bytes_of(before[at]);
    unicode::append(after, change.character);
    spans.resize(after.size(), span);
  }
  text.replace(std::move(after), std::move(spans));
}

}  // namespace

void normalize(AlignedText& text, NormalizationForm form) {
  const bool composes = form == NormalizationForm::nfc || form == NormalizationForm::nfkc;
  if (form == NormalizationForm::nfc && stays_in_nfc(text.text())) return;
  std::vector<Change> changes =
      decompose(text.text(), form == NormalizationForm::nfkc || form == NormalizationForm::nfkd);
  if (composes) changes = compose(changes);
  apply_changes(text, changes);
}

}  // namespace tessera
