#include "text/description.h"

#include <algorithm>

#include "base/error.h"
#include "base/excerpt.h"
#include "base/json.h"

namespace tessera {

using nlohmann::json;

Description::Description(const json& json, std::string_view room, const std::string& where)
    : json_(json), room_(room), where_(where) {
  if (!json.is_object()) throw DataError("{}: its {} is not an object", where, room);
  type_ = text("type");
}

void Description::refuse(std::string_view what) const {
  throw DataError("{}: {} {}: {}", where_, room_, type_.empty() ? "without a type" : excerpt(type_),
                  excerpt(what, 300));
}

void Description::refuse_type() const {
  throw DataError("{}: it asks for the {} \"{}\", which this program does not know", where_, room_, excerpt(type_));
}

bool Description::has(std::string_view key) const {
  const auto found = json_.find(key);
  return found != json_.end() && !found->is_null();
}

const json& Description::member(std::string_view key, std::string_view expected) const {
  const auto found = json_.find(key);
  if (found == json_.end()) refuse(fmt::format("it has no \"{}\", {}", key, expected));
  return *found;
}

std::string Description::text(std::string_view key) const {
  const json& value = member(key, "a text");
  if (!value.is_string()) refuse(fmt::format("its \"{}\" is not a text", key));
  return value.get<std::string>();
}
std::string Description::text(std::string_view key, const std::string& otherwise) const {
  return has(key) ? text(key) : otherwise;
}

bool Description::flag(std::string_view key) const {
  const json& value = member(key, "true or false");
  if (!value.is_boolean()) refuse(fmt::format("its \"{}\" is neither true nor false", key));
  return value.get<bool>();
}
bool Description::flag(std::string_view key, bool otherwise) const { return has(key) ? flag(key) : otherwise; }

int64_t Description::number(std::string_view key) const {
  const json& value = member(key, "a number");
  const auto number = whole_number(value);
  if (!number || *number < 0) refuse(fmt::format("its \"{}\" is not a whole number", key));
  return *number;
}

const json& Description::list(std::string_view key) const {
  const json& value = member(key, "a list");
  if (!value.is_array()) refuse(fmt::format("its \"{}\" is not a list", key));
  return value;
}

const json& Description::steps(std::string_view key) const {
  constexpr size_t most = 64;
  const json& steps = list(key);
  if (steps.size() > most) refuse(fmt::format("it has {} {}, {} at most are run", steps.size(), key, most));
  return steps;
}

const json& Description::object(std::string_view key) const {
  const json& value = member(key, "an object");
  if (!value.is_object()) refuse(fmt::format("its \"{}\" is not an object", key));
  return value;
}

Description::Pattern Description::pattern(std::string_view key) const {
  const json& value = object(key);
  for (const bool is_regex : {false, true}) {
    const auto found = value.find(is_regex ? "Regex" : "String");
    if (found != value.end() && found->is_string() && value.size() == 1) return {found->get<std::string>(), is_regex};
  }
  refuse(fmt::format("its \"{}\" is neither {{\"String\": …}} nor {{\"Regex\": …}}", key));
}

Regex Description::compile(const Pattern& pattern) const {
  const std::string place = fmt::format("{}: {} {}", where_, room_, type_);
  return pattern.is_regex ? Regex::compile(pattern.text, place) : Regex::literal(pattern.text, place);
}

void Description::allow(std::initializer_list<std::string_view> keys) const {
  for (const auto& [key, value] : json_.items()) {
    if (key != "type" && std::find(keys.begin(), keys.end(), key) == keys.end()) {
      refuse(fmt::format("this program does not know its setting \"{}\"", key));
    }
  }
}

}  // namespace tessera
