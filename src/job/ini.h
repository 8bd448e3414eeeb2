#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// The text of a job file as sections and entries, before any of it means something.  A reader of our own: inih cuts
/// section names after 49 characters without a word, does not report empty sections, and knows no quoted values.
///
/// A line is `[section]`, `key = value`, a comment after ; or #, or empty.  A comment may follow a value after a blank.
/// A value in double quotes keeps its blanks, ; and #, and knows \n \t \" and \\.  Blanks around names and values do
/// not count.  `${NAME}` is replaced by the environment variable, quoted or not; `$${` is a plain `${`.
namespace tessera::ini {

struct Entry {
  std::string key;
  std::string value;  // unquoted, variables expanded
  int64_t line = 0;   // from 1
};

struct Section {
  std::string name;
  int64_t line = 0;
  std::vector<Entry> entries;
};

/// Throws JobError "FILE:LINE: …" for a line that is none of the above, an unset variable, and for a section or a key
/// of one section that comes twice.
std::vector<Section> parse(const std::string& text, const std::string& file);

/// `text` with every ${NAME} replaced; `where` ("jobs/mine.ini:14") begins the JobError for a variable that is not set.
std::string expand_environment(std::string_view text, const std::string& where);

/// `value` as parse() reads it back: quoted only where it must be.
std::string quoted(const std::string& value);

/// `text` without blanks at its ends.
std::string_view trimmed(std::string_view text);

}  // namespace tessera::ini
