#include "text/oniguruma.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/excerpt.h"

namespace tessera {
namespace {

/// The names that mean a general category in both libraries; another name in \p{…} is taken for a script.
bool is_general_category(std::string_view name) {
  static constexpr std::array<std::string_view, 39> names = {
      "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",  "Nd",  "Nl",
      "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc",  "Sk",
      "So", "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Cs", "Co", "Cn", "Any", "L&"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

class Translation {
 public:
  Translation(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        escape();
      } else if (in_class_) {
        class_character(c);
      } else if (c == '[') {
        open_class();
      } else {
        if (c == '(') check_options();
        copy(1);
      }
    }
    if (in_class_) refuse("an unclosed [");
    return std::move(result_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    throw DataError("{}: the pattern {} uses {}, which is not supported", where_, excerpt(pattern_, 300), what);
  }
  void copy(size_t bytes) {
    result_ += pattern_.substr(at_, bytes);
    at_ += bytes;
  }
  void put(std::string_view text, size_t bytes_read) {
    result_ += text;
    at_ += bytes_read;
  }
  bool follows(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }

  void open_class() {
    in_class_ = true;
    copy(1);
    if (follows("^")) copy(1);
    if (follows("]")) refuse("an empty []");
  }

  void class_character(char c) {
    if (c == '[') refuse("a [ inside [ ]");
    if (follows("&&")) refuse("&& inside [ ]");
    if (c == ']') in_class_ = false;
    copy(1);
  }

  /// Groups mean the same in both, but for the letters of options: Oniguruma's m is PCRE2's s.
  void check_options() const {
    if (follows("(*")) refuse("(*");
    if (!follows("(?")) return;
    for (size_t i = at_ + 2;
         i < pattern_.size() && (std::isalpha(static_cast<unsigned char>(pattern_[i])) || pattern_[i] == '-'); ++i) {
      if (pattern_[i] != 'i' && pattern_[i] != '-') refuse("an option other than (?i)");
    }
  }

  void escape() {
    if (at_ + 1 == pattern_.size()) refuse("a \\ at its end");
    const char c = pattern_[at_ + 1];
    switch (c) {
      case 's':
        return put("\\p{White_Space}", 2);
      case 'S':
        return put("\\P{White_Space}", 2);
      case 'd':
        return put("\\p{Nd}", 2);
      case 'D':
        return put("\\P{Nd}", 2);
      case 'w':
        return put(in_class_ ? word_form : "[" + word_alone + "]", 2);
      case 'W':
        if (in_class_) refuse("\\W inside [ ]");
        return put("[^" + word_alone + "]", 2);
      case 'h':
        return put(in_class_ ? "0-9a-fA-F" : "[0-9a-fA-F]", 2);
      case 'p':
      case 'P':
        return property();
      case 'u':
        return code_point();
      default:
        if (std::isalnum(static_cast<unsigned char>(c)) &&
            std::string_view("nrtfvae").find(c) == std::string_view::npos && !(c == 'x')) {
          if (c == 'A' || c == 'z' || c == 'Z') return copy(2);
          refuse(std::string("\\") + c);
        }
        return copy(2);
    }
  }

  void property() {
    const size_t close = pattern_.find('}', at_);
    if (at_ + 2 >= pattern_.size() || pattern_[at_ + 2] != '{' || close == std::string_view::npos)
      refuse("\\p without {}");
    std::string name(pattern_.substr(at_ + 3, close - at_ - 3));
    bool inverse = pattern_[at_ + 1] == 'P';
    if (name.starts_with('^')) {
      inverse = !inverse;
      name.erase(0, 1);
    }
    const std::string full = is_general_category(name) ? name : name == "Alphabetic" ? name : "sc:" + name;
    put((inverse ? "\\P{" : "\\p{") + full + "}", close + 1 - at_);
  }

  void code_point() {
    const std::string digits(pattern_.substr(at_ + 2, 4));
    const bool fits = digits.size() == 4 && std::all_of(digits.begin(), digits.end(),
                                                        [](unsigned char digit) { return std::isxdigit(digit); });
    if (!fits) refuse("\\u without four digits");
    put("\\x{" + digits + "}", 6);
  }

  const std::string word_form = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
  // Outside [ ], but not inside, Oniguruma counts the small digits and fractions of Latin-1 as letters of a word.
  const std::string word_alone = word_form + R"(\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})";
  std::string_view pattern_;
  const std::string& where_;
  std::string result_;
  size_t at_ = 0;
  bool in_class_ = false;
};

}  // namespace

std::string oniguruma_to_pcre2(std::string_view pattern, const std::string& where) {
  return Translation(pattern, where).run();
}

}  // namespace tessera
