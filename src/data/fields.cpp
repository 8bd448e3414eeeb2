#include "data/fields.h"

#include <utility>

#include "base/excerpt.h"

namespace tessera {

using simdjson::dom::element;
using simdjson::dom::element_type;

std::string_view type_name(element element) {
  switch (element.type()) {
    case element_type::ARRAY:
      return "an array";
    case element_type::OBJECT:
      return "an object";
    case element_type::STRING:
      return "a text";
    case element_type::BOOL:
      return "true or false";
    case element_type::NULL_VALUE:
      return "null";
    default:
      return "a number";
  }
}

std::string shown(element element) { return excerpt(simdjson::minify(element)); }

Fields::Fields(element element, Place place, std::string what) : place_(std::move(place)), what_(std::move(what)) {
  if (element.get_object().get(object_) != simdjson::SUCCESS)
    throw DataError("{}: {} is {}, expected an object with keys", place_, what_.empty() ? "the sample" : what_,
                    type_name(element));
}

std::string Fields::name_of(std::string_view key) const {
  return what_.empty() ? std::string(key) : fmt::format("{}.{}", what_, key);
}

std::string Fields::keys() const {
  std::string names;
  constexpr size_t longest = 300;
  for (const auto field : object_) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", excerpt(field.key));
    if (names.size() > longest) return excerpt(names, longest);
  }
  return names.empty() ? "none" : names;
}

bool Fields::has(std::string_view key) const {
  element found;
  return object_.at_key(key).get(found) == simdjson::SUCCESS && !found.is_null();
}

element Fields::get(std::string_view key, std::string_view setting) const {
  element found;
  if (object_.at_key(key).get(found) == simdjson::SUCCESS) return found;
  const std::string hint = setting.empty() ? "" : fmt::format("; {} names another one", setting);
  throw DataError("{}: {} has no key \"{}\"; its keys are {}{}", place_, what_.empty() ? "the sample" : what_, key,
                  keys(), hint);
}

std::string_view Fields::text(std::string_view key, std::string_view setting) const {
  const element found = get(key, setting);
  std::string_view text;
  if (found.get_string().get(text) == simdjson::SUCCESS) return text;
  throw DataError("{}: {} is {}, expected a text", place_, name_of(key), type_name(found));
}

std::string_view Fields::text_or_empty(std::string_view key) const { return has(key) ? text(key) : std::string_view(); }

simdjson::dom::array Fields::array(std::string_view key, std::string_view setting) const {
  const element found = get(key, setting);
  simdjson::dom::array array;
  if (found.get_array().get(array) == simdjson::SUCCESS) return array;
  throw DataError("{}: {} is {}, expected an array", place_, name_of(key), type_name(found));
}

bool Fields::boolean(std::string_view key) const {
  const element found = get(key);
  bool value = false;
  if (found.get_bool().get(value) == simdjson::SUCCESS) return value;
  throw DataError("{}: {} is {}, expected true or false", place_, name_of(key), type_name(found));
}

}  // namespace tessera
