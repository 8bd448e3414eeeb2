#pragma once
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <set>
#include <string>

#include "base/json.h"

namespace tessera {

/// A config.json, or an object in it, read key by key.  What is read has its type and range checked; a key
/// that was not read in the end, and may change what the model computes, is refused by name.  Errors are DataErrors
/// that begin with the file.
class ConfigReader {
 public:
  /// Throws where the text is no JSON object.
  ConfigReader(const std::string& text, std::string where);

  bool has(const std::string& key) const;  ///< with a value that is not null
  bool is_null(const std::string& key) const;

  int64_t integer(const std::string& key) const;  ///< 1 or more; has to be there
  int64_t integer(const std::string& key, int64_t otherwise) const;
  int64_t whole(const std::string& key, int64_t otherwise) const;  ///< 0 or more
  double number(const std::string& key, double otherwise) const;
  double number(const std::string& key, double otherwise, double low, double high) const;
  double positive(const std::string& key, double otherwise) const;
  bool boolean(const std::string& key, bool otherwise) const;
  std::string text(const std::string& key, const std::string& otherwise) const;
  /// Empty where it is missing or no text.
  std::string text_or_nothing(const std::string& key) const;
  const nlohmann::json& at(const std::string& key) const;  ///< has to be there
  /// The object of that key, with a reader of its own; "config.json: rope_scaling" in messages.
  ConfigReader object(const std::string& key) const;

  /// Null, false, 0 or empty; else an error that says why it has to be.
  void require_neutral(const std::string& key, const char* why) const;
  /// transformers' class of this model_type never reads them.
  void ignore(std::initializer_list<const char*> keys) const;
  /// Whatever was not read, and is neither neutral nor known to change nothing.
  void refuse_unread(const char* why) const;

  const std::string& where() const { return where_; }
  const nlohmann::json& json() const { return object_; }  ///< nothing counts as read

 private:
  ConfigReader(nlohmann::json object, std::string where, std::nullptr_t);

  nlohmann::json object_;
  std::string where_;
  mutable std::set<std::string> read_;
};

}  // namespace tessera
