#pragma once
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

/// The one way JSON is read and shown, but for the lines of data files (simdjson).  Files come from strangers: reading
/// one never recurses, its nesting and its number of values are bounded, and a number that no double holds (1e999) is
/// an error.  Every failure is a DataError that begins with `where`, the file's name.
namespace tessera {

constexpr int max_json_depth = 64;               ///< levels of [ and {; the files of models and checkpoints have ten
constexpr int64_t max_json_values = 4'000'000;   ///< of one document; the largest headers have some 100,000
constexpr int64_t max_json_bytes = 256LL << 20;  ///< of one file; a tokenizer.json of 256,000 tokens has 33 MB

nlohmann::json parse_json(std::string_view text, const std::string& where);
nlohmann::json read_json(const std::filesystem::path& path);

/// As parse_json(), with the members of objects in the order of the text.
nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& where);

/// Hands the document over piece by piece.  What `events` throws goes through; its parse_error() is never called.
void parse_json(std::string_view text, const std::string& where, nlohmann::json_sax<nlohmann::json>& events);

/// A value as a message shows it: on one line, cut off after some 80 characters.
std::string shown(const nlohmann::json& value);

/// The number, where the value is a whole one that 64 bits hold: neither 1.5 nor 2^63.
std::optional<int64_t> whole_number(const nlohmann::json& value);

}  // namespace tessera
