#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "job/value.h"

/// The one description of job.ini: every section and key with its values, default and meaning. parse.cpp, describe.cpp
/// and resolve.cpp only iterate over it.
namespace tessera {

/// The settings that a field reads and writes: the job, and for keys of [dataset.NAME] the one data set.
struct Target {
  Job& job;
  DatasetSettings* dataset = nullptr;
};

/// A key applies only if another key of its section has one of these values; otherwise it is refused, not ignored.
struct Condition {
  std::string key;
  std::vector<std::string> values;
  std::string words = {};  // for the reference, in place of a long list of values
};

struct Field {
  std::string key;
  std::string help;
  std::string expected;
  std::vector<std::string> choices;
  std::optional<Range> range;  // of a number
  std::string default_words;   // for the reference: the struct's default, or a description of fill()
  bool required = false;
  bool zero_is_off = false;  // 0 means the same as leaving the key out
  std::string instead_of;    // the key of the section that this one replaces; both at once are refused
  std::vector<Condition> only_with;
  std::optional<Condition> needed_by;  // required while the condition holds

  std::function<void(const Target&, const std::string& text, const Path& folder)> read;  // throws WrongValue
  std::function<std::string(const Target&)> write;
  std::function<bool(const Target&)> is_path;      // is the value a path?
  std::function<std::string(const Target&)> fill;  // the default if it depends on other settings, as text for read()
};

struct Section {
  std::string name;  // "train", or "dataset" for [dataset.NAME]
  std::string help;
  bool repeated = false;
  std::vector<Field> fields;

  const Field* find(const std::string& key) const;
  const Field& at(const std::string& key) const;
};

/// In the order in which they are written and documented.
const std::vector<Section>& sections();

/// "[train]", or "[dataset.NAME]" where there can be several.
std::string heading(const Section& section);

/// The first condition of the field that does not hold; null where it may be given.
const Condition* unmet(const Field& field, const Section& section, const Target& target);

/// Does `condition` hold among the section's settings?
bool holds(const Condition& condition, const Section& section, const Target& target);

}  // namespace tessera
