#include "model/module_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "base/error.h"
#include "text/regex.h"

namespace tessera {
namespace {

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> names;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    std::string name = text.substr(begin, end - begin);
    std::erase_if(name, [](unsigned char c) { return std::isspace(c) != 0; });
    if (!name.empty()) names.push_back(std::move(name));
    begin = end + 1;
  }
  return names;
}

bool is_list_text(const std::string& text) {
  return std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("_.-, ").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

}  // namespace

struct ModuleNames::Expression {
  std::string text;
  Regex whole;
};

ModuleNames ModuleNames::parse(const std::string& text, const std::string& where) {
  if (is_list_text(text)) return list(split(text));
  try {
    return expression(text, where);
  } catch (const DataError& error) {
    throw JobError("{}", error.what());
  }
}

ModuleNames ModuleNames::list(std::vector<std::string> names) {
  ModuleNames made;
  const std::set<std::string> sorted(names.begin(), names.end());
  made.names_.assign(sorted.begin(), sorted.end());
  return made;
}

ModuleNames ModuleNames::expression(const std::string& text, const std::string& where) {
  ModuleNames made;
  Regex::compile(text, where);  // alone: what is put around it may not complete it
  made.expression_ =
      std::make_shared<const Expression>(Expression{text, Regex::compile("\\A(?:" + text + ")\\z", where)});
  return made;
}

bool ModuleNames::match(const std::string& module) const {
  if (is_list())
    return std::ranges::any_of(names_,
                               [&](const std::string& name) { return module == name || module.ends_with("." + name); });
  RegexScratch scratch;
  std::vector<Match> parts;
  expression_->whole.cut(module, scratch, parts);
  return parts.size() == 1 && parts.front().matched;
}

std::vector<std::string> ModuleNames::unmatched(const std::vector<std::string>& modules) const {
  std::vector<std::string> names;
  for (const std::string& name : names_)
    if (std::ranges::none_of(modules, [&](const std::string& module) { return list({name}).match(module); }))
      names.push_back(name);
  return names;
}

std::string ModuleNames::text() const {
  return is_list() ? fmt::format("{}", fmt::join(names_, ", ")) : expression_->text;
}

bool ModuleNames::operator==(const ModuleNames& other) const {
  if (is_list() != other.is_list()) return false;
  return is_list() ? names_ == other.names_ : expression_->text == other.expression_->text;
}

}  // namespace tessera
