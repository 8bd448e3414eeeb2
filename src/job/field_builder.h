#pragma once
#include <cmath>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "job/fields.h"

/// How fields.cpp and its neighbours describe a key: one expression, with modifiers appended.
namespace tessera {

/// A Field under construction, with modifiers for special properties of a key.
struct Described : Field {
  Described&& must_be_given() && {
    required = true;
    default_words.clear();
    return std::move(*this);
  }
  Described&& off_at_zero() && {
    zero_is_off = true;
    return std::move(*this);
  }
  Described&& replaces(std::string other) && {
    instead_of = std::move(other);
    return std::move(*this).off_at_zero();
  }
  Described&& with(std::string other, std::vector<std::string> values) && {
    only_with.push_back({std::move(other), std::move(values)});
    return std::move(*this);
  }
  Described&& with_types(std::vector<std::string> names, std::string words) && {
    only_with.push_back({"type", std::move(names), std::move(words)});
    return std::move(*this);
  }
  Described&& must_be_given_with(std::string other, std::vector<std::string> values) && {
    needed_by = Condition{std::move(other), std::move(values)};
    return std::move(*this);
  }
  Described&& by_default(std::string words) && {
    default_words = std::move(words);
    return std::move(*this);
  }
  Described&& filled(std::string words, std::function<std::string(const Target&)> from) && {
    fill = std::move(from);
    return std::move(*this).by_default(std::move(words));
  }
};

/// What the key has in a job that does not mention it.
std::string default_words_of(const Field& field);

template <typename T, typename Access>
Described describe(std::string key, Access access, Value<T> value, std::string help) {
  Described field;
  field.key = std::move(key);
  field.help = std::move(help);
  field.expected = value.expected;
  field.choices = value.choices;
  field.read = [=](const Target& target, const std::string& text, const Path& folder) {
    access(target) = value.read(text, folder);
  };
  field.write = [=](const Target& target) { return value.write(access(target)); };
  field.is_path = [=](const Target& target) { return value.is_path(access(target)); };
  if constexpr (std::is_same_v<T, int64_t> || std::is_same_v<T, double>) {
    if (!std::isfinite(value.range.low) || !std::isfinite(value.range.high))
      throw std::logic_error("the key " + field.key + " is a number without bounds");
    field.range = value.range;
  }
  field.default_words = default_words_of(field);
  return field;
}

/// Makes the fields of one struct of the job: key(…) describes one of its members.
template <typename Settings>
struct Of {
  Settings Job::*part;

  template <typename T>
  Described key(std::string name, T Settings::*member, Value<T> value, std::string help) const {
    const auto access = [part = part, member](const Target& target) -> T& { return (target.job.*part).*member; };
    return describe(std::move(name), access, std::move(value), std::move(help));
  }
};

/// The same for a member of a data set.
template <typename T>
Described dataset_key(std::string name, T DatasetSettings::*member, Value<T> value, std::string help) {
  const auto access = [member](const Target& target) -> T& { return target.dataset->*member; };
  return describe(std::move(name), access, std::move(value), std::move(help));
}

/// Bounds that several keys share. Each is far beyond any use and small enough for arithmetic: the product of a few
/// fits an int64.
namespace most {
constexpr int64_t steps = 1'000'000'000'000;
constexpr int64_t samples = 1'000'000'000;    // of a data set
constexpr int64_t sequences = 1'000'000'000;  // of an update
constexpr int64_t tokens = 16'777'216;        // of a sequence
constexpr int64_t ranks = 1'000'000;
constexpr int64_t threads = 1024;
constexpr int64_t record_bytes = 1'000'000'000'000;
constexpr int64_t ctas = 64;  // NCCL has no more channels
}  // namespace most

/// `by_type`: with that word too.
inline Value<Overlong> overlong_choice(bool by_type) {
  std::vector<std::pair<Overlong, std::string>> meanings = {
      {Overlong::drop, "drop"}, {Overlong::truncate, "truncate"}, {Overlong::split, "split"}};
  if (by_type) meanings.insert(meanings.begin(), {Overlong::by_type, "by_type"});
  return choice<Overlong>(std::move(meanings));
}

// The longer sections have files of their own.
Section dataset_section(const std::string& name, const std::string& help);  // dataset_fields.cpp
Section train_section();                                                    // train_fields.cpp
Section adapter_section();                                                  // adapter_fields.cpp

}  // namespace tessera
