#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// A text with {NAME} where something else will stand; {{ and }} are braces.
class TextPattern {
 public:
  /// Throws JobError for a brace without its partner.
  explicit TextPattern(std::string_view text);
  /// What stands for one name alone.
  static TextPattern of_key(const std::string& name);

  /// The names, in their order.
  std::vector<std::string_view> names() const;
  bool is_one_name() const { return parts_.size() == 1 && parts_[0].is_name; }
  std::string filled(const std::function<std::string(std::string_view name)>& value_of) const;

 private:
  struct Part {
    std::string text;
    bool is_name;
  };
  TextPattern() = default;
  std::vector<Part> parts_;
};

}  // namespace tessera
