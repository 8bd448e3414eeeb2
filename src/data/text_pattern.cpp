#include "data/text_pattern.h"

#include "base/error.h"
#include "base/excerpt.h"

namespace tessera {

TextPattern::TextPattern(std::string_view text) {
  std::string literal;
  const auto unpaired = [&](char brace) {
    throw JobError("the format {} has a {} without its partner; {{{{ and }}}} stand for braces", excerpt(text), brace);
  };
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const bool doubled = at + 1 < text.size() && text[at + 1] == c;
    if ((c == '{' || c == '}') && doubled) {
      literal += c;
      ++at;
    } else if (c == '{') {
      const size_t end = text.find('}', at);
      if (end == std::string_view::npos) unpaired(c);
      if (!literal.empty()) parts_.push_back({std::move(literal), false});
      literal.clear();
      parts_.push_back({std::string(text.substr(at + 1, end - at - 1)), true});
      at = end;
    } else if (c == '}') {
      unpaired(c);
    } else {
      literal += c;
    }
  }
  if (!literal.empty()) parts_.push_back({std::move(literal), false});
}

TextPattern TextPattern::of_key(const std::string& name) {
  TextPattern pattern;
  pattern.parts_.push_back({name, true});
  return pattern;
}

std::vector<std::string_view> TextPattern::names() const {
  std::vector<std::string_view> names;
  for (const Part& part : parts_)
    if (part.is_name) names.emplace_back(part.text);
  return names;
}

std::string TextPattern::filled(const std::function<std::string(std::string_view name)>& value_of) const {
  std::string text;
  for (const Part& part : parts_) text += part.is_name ? value_of(part.text) : part.text;
  return text;
}

}  // namespace tessera
