#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "job/job.h"

/// The values of a key: how text becomes a T, how a T becomes text that reads back to the same, and a description for
/// the reference.
namespace tessera {

/// "jobs/mine.ini:14: [train] learning_rate: " is prepended by the caller, which knows the key.
struct WrongValue {
  std::string message;
};

/// An interval of numbers, its ends open or closed.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;
  bool high_open = false;

  Range up_to(double value) const { return {low, value, low_open, false}; }
  Range below(double value) const { return {low, value, low_open, true}; }
  bool holds(double value) const;
  std::string words() const;  // ", above 0 and at most 1"
};
Range at_least(double low);
Range above(double low);

template <typename T>
struct Value {
  std::string expected;              // "a whole number from 1 to 100"
  std::vector<std::string> choices;  // the possible words; empty if the value is not a choice
  std::function<T(const std::string& text, const Path& folder)> read;  // relative paths start at folder; WrongValue
  std::function<std::string(const T&)> write;                          // "": leave the key out
  Range range = {};                                                    // of a number; both its ends are finite
  std::function<bool(const T&)> is_path = [](const T&) { return false; };
};

Value<int64_t> whole_number(int64_t low, int64_t high);  // both up to 2^53 from zero
Value<double> number(Range range);
Value<double> fraction_or_count(int64_t most);                         // a fraction below 1, else a whole number
Value<int64_t> byte_size(int64_t most);                                // "5 GB", "300 MiB", or a plain number of bytes
Value<bool> boolean();                                                 // true, false, yes, no, 1, 0
Value<std::optional<bool>> maybe();                                    // the same, or left out
Value<std::vector<int64_t>> whole_numbers(int64_t low, int64_t high);  // with commas between them
Value<std::string> words();                                            // any text
Value<std::string> word();                                             // any text but none
Value<std::vector<std::string>> list();                                // words with commas between them
Value<Path> path();
Value<std::string> path_or_glob();
Value<std::string> text_or_file();  // the path where such a file exists, else the text
Value<std::string> word_or_path(const std::vector<std::string>& own);  // one of the words, else a path
Value<std::string> one_of(const std::vector<std::string>& choices);

/// Throws WrongValue "nonsense; expected a, b or c; did you mean b?".  `expected`: in place of the choices.
size_t index_of_choice(const std::string& text, const std::vector<std::string>& choices,
                       const std::string& expected = "");

/// "a, b or c"
std::string enumerated(const std::vector<std::string>& names);

/// A value that may be left out; an empty text leaves it out too.
template <typename T>
Value<std::optional<T>> optional_value(Value<T> value) {
  Value<std::optional<T>> made;
  made.expected = value.expected;
  made.choices = value.choices;
  made.read = [value](const std::string& text, const Path& folder) -> std::optional<T> {
    if (text.empty()) return {};
    return value.read(text, folder);
  };
  made.write = [value](const std::optional<T>& given) { return given ? value.write(*given) : std::string(); };
  return made;
}

template <typename Enum>
Value<Enum> choice(std::vector<std::pair<Enum, std::string>> meanings) {
  Value<Enum> value;
  for (const auto& [meaning, name] : meanings) value.choices.push_back(name);
  value.expected = enumerated(value.choices);
  value.read = [meanings, choices = value.choices](const std::string& text, const Path&) {
    return meanings[index_of_choice(text, choices)].first;
  };
  value.write = [meanings](const Enum& wanted) {
    for (const auto& [meaning, name] : meanings)
      if (meaning == wanted) return name;
    return std::string();
  };
  return value;
}

}  // namespace tessera
