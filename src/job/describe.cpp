#include <fmt/format.h>

#include "job/fields.h"

namespace tessera {
namespace {

constexpr size_t text_width = 110;

/// "required", or the default; empty where a key that is left out has no value.
std::string default_of(const Field& field) { return field.required ? "required" : field.default_words; }

/// What may stand there, and with which other settings.
std::string rules_of(const Field& field) {
  std::string rules = field.expected;
  for (const Condition& condition : field.only_with)
    rules += condition.words.empty() ? fmt::format("; only with {} = {}", condition.key, enumerated(condition.values))
                                     : fmt::format("; only with {}", condition.words);
  if (field.needed_by)
    rules += fmt::format("; required with {} = {}", field.needed_by->key, enumerated(field.needed_by->values));
  return rules;
}

/// The text in lines of at most `text_width` characters, each after `indent` blanks.
std::string wrapped(const std::string& text, size_t indent) {
  std::string lines;
  std::string line;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (!line.empty() && indent + line.size() + 1 + word.size() > text_width) {
      lines += std::string(indent, ' ') + line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
    begin = end + 1;
  }
  return lines + std::string(indent, ' ') + line + "\n";
}

}  // namespace

std::string describe_keys() {
  std::string text;
  for (const Section& section : sections()) {
    text += fmt::format("{}{}  {}\n", text.empty() ? "" : "\n", heading(section), section.help);
    if (section.name == "eval_dataset") {
      text += "  the keys of [dataset.NAME]\n";
      continue;
    }
    for (const Field& field : section.fields) {
      const std::string given = default_of(field);
      text += fmt::format("  {}{}\n", field.key, given.empty() ? "" : " (" + given + ")");
      text += wrapped(field.help + ".  " + rules_of(field) + ".", 6);
    }
  }
  return text;
}

std::string describe_keys_markdown() {
  std::string text;
  for (const Section& section : sections()) {
    text += fmt::format("{}### {}\n{}\n", text.empty() ? "" : "\n", heading(section), section.help);
    if (section.name == "eval_dataset") {
      text += "\nThe keys are those of `[dataset.NAME]`.\n";
      continue;
    }
    text += "\n| key | default | meaning | value |\n|---|---|---|---|\n";
    for (const Field& field : section.fields)
      text += fmt::format("| `{}` | {} | {} | {} |\n", field.key, default_of(field), field.help, rules_of(field));
  }
  return text;
}

}  // namespace tessera
