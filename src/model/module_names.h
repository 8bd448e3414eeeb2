#pragma once
#include <memory>
#include <string>
#include <vector>

namespace tessera {

/// A choice of a model's modules, as PEFT's target_modules.
class ModuleNames {
 public:
  /// Letters, digits, `_ . -` and commas alone are a list; anything else is a regular expression.  Throws JobError,
  /// which begins with `where`.
  static ModuleNames parse(const std::string& text, const std::string& where);
  static ModuleNames list(std::vector<std::string> names);
  /// That has to match a module's whole name.  Throws DataError where it is none.
  static ModuleNames expression(const std::string& text, const std::string& where);

  /// Of a list: is it one of the names, or does it end with ".NAME"?
  bool match(const std::string& module) const;
  /// Those of a list that match none of the modules.
  std::vector<std::string> unmatched(const std::vector<std::string>& modules) const;

  bool is_list() const { return expression_ == nullptr; }
  bool empty() const { return is_list() && names_.empty(); }
  const std::vector<std::string>& names() const { return names_; }
  std::string text() const;
  bool operator==(const ModuleNames& other) const;

 private:
  struct Expression;
  std::vector<std::string> names_;  // sorted
  std::shared_ptr<const Expression> expression_;
};

}  // namespace tessera
