#include "text/jinja_outline.h"

#include <cctype>
#include <vector>

namespace tessera {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || (c & 0x80); }

/// A text as the outline writes it: in double quotes.
std::string quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '\n') {
      quoted += "\\n";
    } else {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += c;
    }
  }
  return quoted + '"';
}

/// The parts of an expression; texts in the outline's quotes, spaces left out.
std::vector<std::string> read_parts(std::string_view expression) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < expression.size();) {
    const char c = expression[at];
    if (std::isspace(static_cast<unsigned char>(c))) {
      ++at;
    } else if (c == '\'' || c == '"') {
      std::string text;
      for (++at; at < expression.size() && expression[at] != c; ++at) {
        const bool escaped = expression[at] == '\\' && at + 1 < expression.size();
        if (escaped) ++at;
        text += escaped && expression[at] == 'n' ? '\n' : escaped && expression[at] == 't' ? '\t' : expression[at];
      }
      ++at;
      parts.push_back(quote(text));
    } else if (is_word(c)) {
      const size_t begin = at;
      while (at < expression.size() && is_word(expression[at])) ++at;
      parts.emplace_back(expression.substr(begin, at - begin));
    } else {
      const bool two = at + 1 < expression.size() && expression[at + 1] == '=' &&
                       std::string_view("=!<>").find(c) != std::string_view::npos;
      parts.emplace_back(expression.substr(at, two ? 2 : 1));
      at += two ? 2 : 1;
    }
  }
  return parts;
}

bool is_text(const std::string& part) { return part.starts_with('"'); }

/// x["y"] as x.y, where y is a name and x something that can have members.
std::vector<std::string> with_dots(const std::vector<std::string>& parts) {
  std::vector<std::string> result;
  const auto has_members = [&] {
    return !result.empty() && !result.back().empty() &&
           (is_word(result.back().back()) || result.back() == "]" || result.back() == ")");
  };
  for (size_t i = 0; i < parts.size(); ++i) {
    if (has_members() && i + 2 < parts.size() && parts[i] == "[" && is_text(parts[i + 1]) && parts[i + 2] == "]") {
      result.emplace_back(".");
      result.push_back(parts[i + 1].substr(1, parts[i + 1].size() - 2));
      i += 2;
    } else {
      result.push_back(parts[i]);
    }
  }
  return result;
}

/// "a"+"b" as "ab"; ~ as +.
std::vector<std::string> with_texts_joined(const std::vector<std::string>& parts) {
  std::vector<std::string> result;
  for (const std::string& part : parts) {
    const size_t size = result.size();
    if (is_text(part) && size >= 2 && result[size - 1] == "+" && is_text(result[size - 2])) {
      result.pop_back();
      result.back().pop_back();
      result.back() += part.substr(1);
    } else {
      result.push_back(part == "~" ? "+" : part);
    }
  }
  return result;
}

std::string outline_of(std::string_view expression) {
  std::string outline;
  for (const auto& part : with_texts_joined(with_dots(read_parts(expression)))) {
    if (part.empty()) continue;
    const auto needs_space = [](char c) { return is_word(c) || c == '"'; };
    if (!outline.empty() && needs_space(outline.back()) && needs_space(part.front())) outline += ' ';
    outline += part;
  }
  return outline;
}

class Outline {
 public:
  explicit Outline(std::string_view jinja) : rest_(jinja) {}

  std::string run() {
    while (!rest_.empty()) {
      const size_t open = find_tag();
      std::string_view text = rest_.substr(0, open);
      if (open == std::string_view::npos) {
        add_text(text);
        break;
      }
      const char kind = rest_[open + 1];
      const bool cuts_left = open + 2 < rest_.size() && rest_[open + 2] == '-';
      if (cuts_left) {
        text = without_trailing_spaces(text);
      } else if (kind != '{') {
        text = without_indentation(text);
      }
      add_text(text);
      rest_.remove_prefix(open + 2 + (cuts_left ? 1 : 0));
      read_tag(kind);
    }
    flush();
    return std::move(result_);
  }

 private:
  size_t find_tag() const {
    for (size_t at = rest_.find('{'); at != std::string_view::npos; at = rest_.find('{', at + 1)) {
      if (at + 1 < rest_.size() && std::string_view("{%#").find(rest_[at + 1]) != std::string_view::npos) return at;
    }
    return std::string_view::npos;
  }

  static std::string_view without_trailing_spaces(std::string_view text) {
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
    return text;
  }
  /// lstrip_blocks: blanks between the start of a line and a tag do not count.
  std::string_view without_indentation(std::string_view text) const {
    std::string_view cut = text;
    while (!cut.empty() && (cut.back() == ' ' || cut.back() == '\t')) cut.remove_suffix(1);
    const bool at_line_start = cut.empty() ? at_line_start_ : cut.back() == '\n';
    return at_line_start ? cut : text;
  }

  /// From behind the opening of a tag to behind its end, and what its end cuts off the text that follows.
  void read_tag(char kind) {
    const std::string_view end = kind == '{' ? "}}" : kind == '%' ? "%}" : "#}";
    const size_t close = find_end(end, kind);
    std::string_view inside = rest_.substr(0, close);
    const bool cuts_right = inside.ends_with('-');
    if (cuts_right) inside.remove_suffix(1);
    rest_.remove_prefix(std::min(rest_.size(), close == std::string_view::npos ? rest_.size() : close + 2));
    if (kind == '{') add_output(outline_of(inside));
    if (kind == '%') add_statement(outline_of(inside));
    at_line_start_ = false;
    if (cuts_right) {
      while (!rest_.empty() && std::isspace(static_cast<unsigned char>(rest_.front()))) rest_.remove_prefix(1);
    } else if (kind != '{' && rest_.starts_with('\n')) {  // trim_blocks
      rest_.remove_prefix(1);
      at_line_start_ = true;
    }
  }

  size_t find_end(std::string_view end, char kind) const {
    char quoted_by = 0;
    for (size_t at = 0; at + 1 < rest_.size(); ++at) {
      const char c = rest_[at];
      if (quoted_by) {
        if (c == '\\') ++at;
        if (c == quoted_by) quoted_by = 0;
      } else if (kind != '#' && (c == '\'' || c == '"')) {
        quoted_by = c;
      } else if (rest_.substr(at).starts_with(end)) {
        return at;
      }
    }
    return std::string_view::npos;
  }

  void add_text(std::string_view text) {
    if (!text.empty()) add_output(quote(text));
  }
  void add_output(const std::string& expression) { output_ += output_.empty() ? expression : "+" + expression; }
  void add_statement(const std::string& statement) {
    flush();
    result_ += "{" + statement + "}";
  }
  void flush() {
    if (output_.empty()) return;
    result_ += "[" + outline_of(output_) + "]";
    output_.clear();
  }

  std::string_view rest_;
  std::string result_, output_;
  bool at_line_start_ = true;
};

}  // namespace

std::string jinja_outline(std::string_view jinja) { return Outline(jinja).run(); }

}  // namespace tessera
