#pragma once
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "text/regex.h"

namespace tessera {

/// One step in a tokenizer.json, {"type": …, its settings}, read so that nothing in it is overlooked: every error is a
/// DataError that names the file, the step and the key.
class Description {
 public:
  struct Pattern {
    std::string text;
    bool is_regex;
  };

  /// `room` says what the step is ("normalizer"); `where` names the file.
  Description(const nlohmann::json& json, std::string_view room, const std::string& where);

  const std::string& type() const { return type_; }
  std::string text(std::string_view key) const;
  std::string text(std::string_view key, const std::string& otherwise) const;
  bool flag(std::string_view key) const;
  bool flag(std::string_view key, bool otherwise) const;
  int64_t number(std::string_view key) const;
  const nlohmann::json& list(std::string_view key) const;
  /// The steps that a Sequence lists under `key`.  Throws for implausibly many steps, since each processes every text.
  const nlohmann::json& steps(std::string_view key) const;
  const nlohmann::json& object(std::string_view key) const;
  Pattern pattern(std::string_view key) const;  ///< {"String": …} or {"Regex": …}
  Regex compile(const Pattern& pattern) const;
  bool has(std::string_view key) const;  ///< and it is not null

  /// Throws for a key that is neither "type" nor one of these.
  void allow(std::initializer_list<std::string_view> keys) const;
  [[noreturn]] void refuse_type() const;
  [[noreturn]] void refuse(std::string_view what) const;

 private:
  const nlohmann::json& member(std::string_view key, std::string_view expected) const;
  const nlohmann::json& json_;
  std::string room_;
  const std::string& where_;
  std::string type_;
};

}  // namespace tessera
