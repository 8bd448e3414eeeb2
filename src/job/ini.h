#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// The text of a job file as sections and entries, without interpretation. An own reader, because inih silently
/// truncates section names after 49 characters, does not report empty sections, and does not support quoted values.
///
/// A line is `[section]`, `key = value`, a comment after ; or #, or empty.  A comment may follow a value after a blank.
/// A value in double quotes keeps its blanks, ; and #, and supports \n \t \" and \\. Blanks around names and values are
/// removed. `${NAME}` stands for the environment variable, quoted or not; `$${` is a literal `${`.
namespace tessera::ini {

struct Entry {
  std::string key;
  std::string text;  // unquoted; variables stand as they were written, for expand_environment()
  int64_t line = 0;  // from 1
};

struct Section {
  std::string name;
  int64_t line = 0;
  std::vector<Entry> entries;
};

/// Throws JobError "FILE:LINE: …" for any other line, and for a section, or a key of a section, that appears twice.
std::vector<Section> parse(const std::string& text, const std::string& file);

/// `text` with every ${NAME} replaced; `where` ("jobs/mine.ini:14") begins the JobError for a variable that is not set.
std::string expand_environment(std::string_view text, const std::string& where);

/// Does `text` name a variable that expand_environment() would replace?
bool names_variable(std::string_view text);

/// `value` as written to a file, so that reading and expanding give it back; quoted only if necessary.
std::string quoted(const std::string& value);
/// The same for a text as Entry has it, whose ${NAME} are variables.
std::string quoted_text(const std::string& text);

/// `text` without blanks at its ends.
std::string_view trimmed(std::string_view text);

}  // namespace tessera::ini
