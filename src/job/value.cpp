#include "job/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

#include "base/nearest.h"
#include "job/ini.h"

namespace tessera {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

WrongValue wrong(const std::string& text, const std::string& expected) {
  return {fmt::format("{}; expected {}", text.empty() ? "empty" : ini::quoted(text), expected)};
}

/// The whole of `text` as a number; nothing where anything is left over or it does not fit.
template <typename T>
std::optional<T> whole_text_as(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> finite_number(std::string_view text) {
  const auto value = whole_text_as<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::string write_number(const double& value) { return fmt::format("{}", value); }
std::string write_text(const std::string& value) { return value; }

std::string absolute(const std::string& text, const Path& folder, const std::string& expected) {
  if (text.empty()) throw wrong(text, expected);
  std::string path = (folder / text).lexically_normal().string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

bool read_boolean(const std::string& text, const std::string& expected) {
  const std::string word = lower(text);
  if (word == "true" || word == "yes" || word == "1") return true;
  if (word == "false" || word == "no" || word == "0") return false;
  throw wrong(text, expected);
}

/// The bytes of a unit such as "GB" or "GiB", in any case.
std::optional<double> bytes_of(const std::string& unit) {
  static const std::array<std::pair<const char*, double>, 9> units = {{{"b", 1},
                                                                       {"kb", 1e3},
                                                                       {"mb", 1e6},
                                                                       {"gb", 1e9},
                                                                       {"tb", 1e12},
                                                                       {"kib", 0x1p10},
                                                                       {"mib", 0x1p20},
                                                                       {"gib", 0x1p30},
                                                                       {"tib", 0x1p40}}};
  for (const auto& [name, bytes] : units)
    if (lower(unit) == name) return bytes;
  return std::nullopt;
}

int64_t read_byte_size(const std::string& text, int64_t most, const std::string& expected) {
  const size_t end_of_number = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::string unit(ini::trimmed(text.substr(end_of_number)));
  const auto count = finite_number(text.substr(0, end_of_number));
  const auto bytes = unit.empty() ? std::optional(1.0) : bytes_of(unit);
  if (!count || !bytes) throw wrong(text, expected);
  const double size = *count * *bytes;
  if (size < 1 || size > static_cast<double>(most) || size != std::floor(size)) throw wrong(text, expected);
  return static_cast<int64_t>(size);
}

std::string write_byte_size(const int64_t& size) {
  for (const auto& [unit, bytes] :
       {std::pair{"GB", 1'000'000'000}, {"GiB", 1 << 30}, {"MB", 1'000'000}, {"MiB", 1 << 20}})
    if (size % bytes == 0) return fmt::format("{} {}", size / bytes, unit);
  return fmt::format("{}", size);
}

std::vector<std::string> split_at_commas(const std::string& text, const std::string& expected) {
  std::vector<std::string> words;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    words.emplace_back(ini::trimmed(std::string_view(text).substr(begin, end - begin)));
    if (words.back().empty()) throw wrong(text, expected);
    begin = end + 1;
  }
  return words;
}

bool is_file(const std::string& path) {
  std::error_code not_a_path;  // a prompt may be longer than a path can be: then it is no file
  return std::filesystem::is_regular_file(path, not_a_path);
}

}  // namespace

Range at_least(double low) { return {low}; }

Range above(double low) {
  Range range{low};
  range.low_open = true;
  return range;
}

bool Range::holds(double value) const {
  return (low_open ? value > low : value >= low) && (high_open ? value < high : value <= high);
}

std::string Range::words() const {
  std::string text;
  if (std::isfinite(low)) text += fmt::format("{} {}", low_open ? "above" : "at least", low);
  if (std::isfinite(high))
    text += fmt::format("{}{} {}", text.empty() ? "" : " and ", high_open ? "below" : "at most", high);
  return text.empty() ? text : ", " + text;
}

Value<int64_t> whole_number(int64_t low, int64_t high) {
  const std::string expected = fmt::format("a whole number from {} to {}", low, high);
  return {.expected = expected,
          .choices = {},
          .read =
              [=](const std::string& text, const Path&) {
                const auto value = whole_text_as<int64_t>(text);
                if (!value || *value < low || *value > high) throw wrong(text, expected);
                return *value;
              },
          .write = [](const int64_t& value) { return fmt::format("{}", value); },
          .range = at_least(static_cast<double>(low)).up_to(static_cast<double>(high))};
}

Value<double> number(Range range) {
  const std::string expected = "a number" + range.words();
  return {.expected = expected,
          .choices = {},
          .read =
              [=](const std::string& text, const Path&) {
                const auto value = finite_number(text);
                if (!value || !range.holds(*value)) throw wrong(text, expected);
                return *value + 0.0;  // -0 is 0
              },
          .write = write_number,
          .range = range};
}

Value<double> fraction_or_count(int64_t most) {
  const std::string expected = fmt::format("a fraction below 1 or a whole number, at least 0 and at most {}", most);
  const Range range = at_least(0).up_to(static_cast<double>(most));
  return {.expected = expected,
          .choices = {},
          .read =
              [=](const std::string& text, const Path&) {
                const auto value = finite_number(text);
                if (!value || !range.holds(*value) || (*value > 1 && *value != std::floor(*value)))
                  throw wrong(text, expected);
                return *value + 0.0;
              },
          .write = write_number,
          .range = range};
}

Value<int64_t> byte_size(int64_t most) {
  const std::string expected =
      fmt::format("a size such as 5 GB, 300 MB, 2 GiB, or a number of bytes, at most {} GB", most / 1'000'000'000);
  return {.expected = expected,
          .choices = {},
          .read = [=](const std::string& text, const Path&) { return read_byte_size(text, most, expected); },
          .write = write_byte_size,
          .range = at_least(1).up_to(static_cast<double>(most))};
}

Value<bool> boolean() {
  const std::string expected = "true or false (or yes, no, 1, 0)";
  return {expected,
          {"true", "false"},
          [=](const std::string& text, const Path&) { return read_boolean(text, expected); },
          [](const bool& value) { return std::string(value ? "true" : "false"); }};
}

Value<std::optional<bool>> maybe() { return optional_value(boolean()); }

Value<std::vector<int64_t>> whole_numbers(int64_t low, int64_t high) {
  const Value<int64_t> one = whole_number(low, high);
  const std::string expected = one.expected + ", or several with commas between them";
  return {expected,
          {},
          [=](const std::string& text, const Path& folder) {
            std::vector<int64_t> numbers;
            for (const std::string& word : split_at_commas(text, expected)) numbers.push_back(one.read(word, folder));
            return numbers;
          },
          [](const std::vector<int64_t>& value) { return fmt::format("{}", fmt::join(value, ", ")); }};
}

Value<std::string> words() {
  return {"text", {}, [](const std::string& text, const Path&) { return text; }, write_text};
}

Value<std::string> word() {
  const std::string expected = "a name";
  return {expected,
          {},
          [=](const std::string& text, const Path&) {
            if (text.empty()) throw wrong(text, expected);
            return text;
          },
          write_text};
}

Value<std::vector<std::string>> list() {
  const std::string expected = "a comma-separated list";
  return {expected,
          {},
          [=](const std::string& text, const Path&) { return split_at_commas(text, expected); },
          [](const std::vector<std::string>& value) { return fmt::format("{}", fmt::join(value, ", ")); }};
}

Value<Path> path() {
  const std::string expected = "a path";
  return {.expected = expected,
          .choices = {},
          .read = [=](const std::string& text, const Path& folder) { return Path(absolute(text, folder, expected)); },
          .write = [](const Path& value) { return value.string(); },
          .is_path = [](const Path&) { return true; }};
}

Value<std::string> path_or_glob() {
  const std::string expected = "the path of a file or directory, or a glob";
  return {.expected = expected,
          .choices = {},
          .read = [=](const std::string& text, const Path& folder) { return absolute(text, folder, expected); },
          .write = write_text,
          .is_path = [](const std::string&) { return true; }};
}

Value<std::string> text_or_file() {
  return {.expected = "text, or the path of a file",
          .choices = {},
          .read =
              [](const std::string& text, const Path& folder) {
                const std::string file = text.empty() ? text : absolute(text, folder, "text");
                return is_file(file) ? file : text;
              },
          .write = write_text,
          .is_path = [](const std::string& value) { return value.starts_with('/') && is_file(value); }};
}

Value<std::string> word_or_path(const std::vector<std::string>& own) {
  std::vector<std::string> names = own;
  names.push_back("a path");
  const std::string expected = enumerated(names);
  const auto is_word = [own](const std::string& text) { return std::find(own.begin(), own.end(), text) != own.end(); };
  return {.expected = expected,
          .choices = {},
          .read = [=](const std::string& text,
                      const Path& folder) { return is_word(text) ? text : absolute(text, folder, expected); },
          .write = write_text,
          .is_path = [=](const std::string& value) { return !is_word(value); }};
}

Value<std::string> one_of(const std::vector<std::string>& choices) {
  return {enumerated(choices), choices,
          [choices](const std::string& text, const Path&) { return choices[index_of_choice(text, choices)]; },
          write_text};
}

size_t index_of_choice(const std::string& text, const std::vector<std::string>& choices, const std::string& expected) {
  const auto found = std::find(choices.begin(), choices.end(), text);
  if (found == choices.end()) {
    WrongValue error = wrong(text, expected.empty() ? enumerated(choices) : expected);
    if (choices.size() > 1) error.message += fmt::format("; did you mean {}?", nearest(text, choices));
    throw error;
  }
  return static_cast<size_t>(found - choices.begin());
}

std::string enumerated(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) text += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
  return text;
}

}  // namespace tessera
