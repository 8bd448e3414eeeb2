// Every number of the job file has bounds, and a value outside them is told.  The table of the fields is walked, so
// that a key that is added later is asked the same.
#include <cmath>

#include "job/fields.h"
#include "job_files.h"

using namespace tessera;

namespace {

std::string whole(double value) { return fmt::format("{:.0f}", value); }

/// Texts that are numbers to somebody, at the edges of the field's range and of the machine's types.
std::vector<std::string> tried_with(const Range& range) {
  std::vector<std::string> texts = {"0",
                                    "-0",
                                    "-1",
                                    "1",
                                    "2147483648",
                                    "4294967296",
                                    "9007199254740992",
                                    "nan",
                                    "inf",
                                    "-inf",
                                    "1e300",
                                    "1e-300",
                                    "-1e300",
                                    "1e999",
                                    "9007199254740993",
                                    "9223372036854775807",
                                    "9223372036854775808",
                                    "18446744073709551616",
                                    "36028797018963968",
                                    "2305843009213693952"};
  for (const double edge : {range.low, range.high})
    for (const double step : {-1.0, 0.0, 1.0}) texts.push_back(whole(std::floor(edge) + step));
  return texts;
}

/// What became of `text`: the number that the field holds then, or nothing where it was refused in its own words.
std::optional<double> taken(const Field& field, const std::string& text) {
  Job job;
  DatasetSettings dataset;
  const Target target{job, &dataset};
  try {
    field.read(target, text, {});
  } catch (const WrongValue& wrong) {
    CHECK(wrong.message == text + "; expected " + field.expected);
    return std::nullopt;
  }
  const std::string written = field.write(target);
  field.read(target, written, {});
  CHECK(field.write(target) == written);
  return written.ends_with("B") ? std::stod(written) * (written.ends_with("GB") ? 1e9 : 1e6) : std::stod(written);
}

template <typename F>
void for_each_number(const F& f) {
  for (const Section& section : sections())
    for (const Field& field : section.fields)
      if (field.range) {
        CAPTURE(section.name, field.key);
        f(field, *field.range);
      }
}

}  // namespace

TEST_CASE("a number outside its key's bounds is refused in the words of the reference, and one inside is taken",
          "[job]") {
  int numbers = 0;
  for_each_number([&](const Field& field, const Range& range) {
    ++numbers;
    for (const std::string& text : tried_with(range)) {
      CAPTURE(text);
      const auto value = taken(field, text);
      if (value) CHECK(range.holds(*value));
      if (!value && text == whole(range.high)) CHECK(range.high_open);
      if (!value && text == whole(range.low)) CHECK((range.low_open || range.low != std::floor(range.low)));
    }
  });
  CHECK(numbers >= 30);
}

TEST_CASE("the bounds of every number can be counted with", "[job]") {
  for_each_number([](const Field&, const Range& range) {
    CHECK(range.low >= 0);
    CHECK(range.high <= 1e30);
    CHECK(range.low < range.high);
  });
}

TEST_CASE("the reference has the bounds of every number", "[job]") {
  for_each_number([](const Field& field, const Range& range) {
    const std::string high = field.expected.ends_with(" GB") ? fmt::format("{:.0f} GB", range.high / 1e9)
                             : range.high < 1e16             ? whole(range.high)
                                                             : fmt::format("{}", range.high);
    CHECK(field.expected.find(high) != std::string::npos);
  });
}
