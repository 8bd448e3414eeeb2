#include "job/ini.h"

#include <cstdlib>

#include "base/error.h"
#include "base/utf8.h"

namespace tessera::ini {
namespace {

constexpr std::string_view blanks = " \t\r\v\f";
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

bool starts_comment(char c) { return c == ';' || c == '#'; }

/// `text` up to a ; or # that begins it or follows a blank.
std::string_view without_comment(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i)
    if (starts_comment(text[i]) && (i == 0 || blanks.find(text[i - 1]) != blanks.npos)) return text.substr(0, i);
  return text;
}

char unescaped(char letter, const std::string& where) {
  switch (letter) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case '"':
    case '\\':
      return letter;
    default:
      throw JobError("{}: \\{} is not an escape; a quoted value supports \\n, \\t, \\\" and \\\\", where, letter);
  }
}

/// The value between double quotes; `text` begins with one.
std::string unquoted(std::string_view text, const std::string& where) {
  std::string value;
  size_t i = 1;
  for (; i < text.size() && text[i] != '"'; ++i) {
    if (text[i] == '\\' && i + 1 < text.size())
      value += unescaped(text[++i], where);
    else
      value += text[i];
  }
  if (i >= text.size()) throw JobError("{}: the value's closing double quote is missing", where);
  if (!trimmed(without_comment(trimmed(text.substr(i + 1)))).empty())
    throw JobError("{}: text after the closing double quote; a quote inside a quoted value is written \\\"", where);
  return value;
}

std::string text_of(std::string_view text, const std::string& where) {
  text = trimmed(text);
  const bool is_quoted = text.starts_with('"');
  return is_quoted ? unquoted(text, where) : std::string(trimmed(without_comment(text)));
}

class Parser {
 public:
  explicit Parser(const std::string& file) : file_(file) {}

  void read_line(std::string_view line) {
    ++line_;
    if (!utf8::is_valid(line)) throw JobError("{}: not UTF-8; save the job file as UTF-8", where());
    if (line.find('\0') != line.npos) throw JobError("{}: contains a zero byte; a job file is UTF-8 text", where());
    line = trimmed(line);
    if (line.empty() || starts_comment(line[0])) return;
    if (line[0] == '[')
      read_section(line);
    else
      read_entry(line);
  }

  std::vector<Section> take() { return std::move(sections_); }

 private:
  std::string where() const { return fmt::format("{}:{}", file_, line_); }

  void read_section(std::string_view line) {
    const size_t end = line.find(']');
    if (end == line.npos) throw JobError("{}: {}: the closing ] is missing", where(), line);
    if (!trimmed(without_comment(trimmed(line.substr(end + 1)))).empty())
      throw JobError("{}: {}: text after the section's ]; keys go on lines of their own", where(), line);
    const std::string name(trimmed(line.substr(1, end - 1)));
    for (const Section& earlier : sections_)
      if (earlier.name == name)
        throw JobError("{}: duplicate section [{}], first in line {}; merge the two", where(), name, earlier.line);
    sections_.push_back({name, line_, {}});
  }

  void read_entry(std::string_view line) {
    const size_t equals = line.find('=');
    if (equals == line.npos)
      throw JobError("{}: {}: expected [section], key = value, or a comment after ; or #", where(), line);
    const std::string key(trimmed(line.substr(0, equals)));
    if (sections_.empty()) throw JobError("{}: {}: a key before the first [section]", where(), key);
    Section& section = sections_.back();
    if (key.empty()) throw JobError("{}: [{}] missing key before =", where(), section.name);
    for (const Entry& earlier : section.entries)
      if (earlier.key == key)
        throw JobError("{}: [{}] {}: already set in line {}; remove one of the two", where(), section.name, key,
                       earlier.line);
    const std::string what = fmt::format("{}: [{}] {}", where(), section.name, key);
    section.entries.push_back({key, text_of(line.substr(equals + 1), what), line_});
  }

  const std::string& file_;
  int64_t line_ = 0;
  std::vector<Section> sections_;
};

}  // namespace

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(blanks);
  return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::vector<Section> parse(const std::string& text, const std::string& file) {
  std::string_view rest = text;
  if (rest.starts_with(byte_order_mark)) rest.remove_prefix(byte_order_mark.size());
  Parser parser(file);
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    parser.read_line(rest.substr(0, end));
    rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
  }
  return parser.take();
}

std::string expand_environment(std::string_view text, const std::string& where) {
  std::string expanded;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i);
    if (rest.starts_with("$${")) {
      expanded += "${";
      i += 2;
    } else if (rest.starts_with("${")) {
      const size_t end = rest.find('}');
      if (end == rest.npos) throw JobError("{}: unterminated ${{; write a literal ${{ as $${{", where);
      const std::string name(rest.substr(2, end - 2));
      const char* value = std::getenv(name.c_str());
      if (value == nullptr) throw JobError("{}: the environment variable {} is not set", where, name);
      expanded += value;
      i += end;
    } else {
      expanded += text[i];
    }
  }
  return expanded;
}

bool names_variable(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i).starts_with("$${"))
      i += 2;
    else if (text.substr(i).starts_with("${"))
      return true;
  }
  return false;
}

std::string quoted(const std::string& value) {
  std::string text;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value.compare(i, 2, "${") == 0) text += '$';
    text += value[i];
  }
  return quoted_text(text);
}

std::string quoted_text(const std::string& text) {
  const bool plain = !text.empty() && trimmed(text) == text && text[0] != '"' && without_comment(text) == text &&
                     text.find('\n') == text.npos;
  if (plain) return text;
  std::string escaped = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') escaped += '\\';
    if (c == '\n')
      escaped += "\\n";
    else
      escaped += c;
  }
  return escaped + '"';
}

}  // namespace tessera::ini
