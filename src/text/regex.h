#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// Per-thread state of regular expressions: the matches, and the stack of PCRE2's compiled code.
class RegexScratch {
 public:
  RegexScratch();
  ~RegexScratch();
  RegexScratch(const RegexScratch&) = delete;
  RegexScratch& operator=(const RegexScratch&) = delete;

 private:
  friend class Regex;
  struct State;
  std::unique_ptr<State> state_;
};

/// A part of a text: what the pattern matched, or what lies between two matches.
struct Match {
  size_t begin, end;
  bool matched;
};

/// A pattern written for Oniguruma, as tokenizer.json files have them, run by PCRE2.  Where the two differ (\s, \d, \w,
/// \h, scripts, case folding) the pattern is translated; if that is impossible it is a DataError.
class Regex {
 public:
  /// `where` names the file, for errors.
  static Regex compile(std::string_view pattern, const std::string& where);
  static Regex literal(std::string_view text, const std::string& where);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  /// The whole of `text` (valid UTF-8), cut where matches begin and end, appended to `parts`.
  void cut(std::string_view text, RegexScratch& scratch, std::vector<Match>& parts) const;

 private:
  struct State;
  explicit Regex(std::unique_ptr<State> state);
  bool search(std::string_view text, size_t from, RegexScratch& scratch, size_t& begin, size_t& end) const;
  std::unique_ptr<State> state_;
};

}  // namespace tessera
