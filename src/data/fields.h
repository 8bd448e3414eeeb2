#pragma once
#include <fmt/format.h>
#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace tessera {

/// Where a sample comes from, for messages: "FILE:LINE".
using Place = std::string;

/// The keys of one JSON object of a data file. A missing key or another type is a DataError with file, line, key, and
/// the value found.
class Fields {
 public:
  /// `what`: the object's name inside the sample ("messages[2]"); empty for the sample itself.
  Fields(simdjson::dom::element element, Place place, std::string what = {});

  bool has(std::string_view key) const;  ///< present and not null
  simdjson::dom::element get(std::string_view key, std::string_view setting = {}) const;
  std::string_view text(std::string_view key, std::string_view setting = {}) const;
  std::string_view text_or_empty(std::string_view key) const;  ///< empty where it is missing or null
  simdjson::dom::array array(std::string_view key, std::string_view setting = {}) const;
  bool boolean(std::string_view key) const;

  std::string name_of(std::string_view key) const;  ///< "messages[2].role"
  const Place& place() const { return place_; }

 private:
  std::string keys() const;

  simdjson::dom::object object_;
  Place place_;
  std::string what_;
};

/// A value for a message, truncated.
std::string shown(simdjson::dom::element element);

/// "an array", "a number", … for messages.
std::string_view type_name(simdjson::dom::element element);

}  // namespace tessera
