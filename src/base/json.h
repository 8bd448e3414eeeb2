#pragma once
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

/// Reads and shows all JSON except the records of data files (simdjson). Files may be untrusted: reading never
/// recurses, nesting and number of values are bounded, and a number that no double holds (1e999) is an error.  Every
/// failure is a DataError that begins with `where`, the file's name.
namespace tessera {

constexpr int max_json_depth = 64;               ///< levels of [ and {; the files of models and checkpoints have ten
constexpr int64_t max_json_values = 4'000'000;   ///< of one document; the largest headers have some 100,000
constexpr int64_t max_json_bytes = 256LL << 20;  ///< of one file; a tokenizer.json of 256,000 tokens has 33 MB

nlohmann::json parse_json(std::string_view text, const std::string& where);
nlohmann::json read_json(const std::filesystem::path& path);

/// As parse_json(), with the members of objects in the order of the text.
nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& where);

/// Passes the document to `events` piece by piece. Exceptions of `events` propagate; its parse_error() is never called.
void parse_json(std::string_view text, const std::string& where, nlohmann::json_sax<nlohmann::json>& events);

/// A value for a message: on one line, truncated after about 80 characters.
std::string shown(const nlohmann::json& value);

/// The value if it is an integer that fits 64 bits; nothing for 1.5 or 2^63.
std::optional<int64_t> whole_number(const nlohmann::json& value);

}  // namespace tessera
