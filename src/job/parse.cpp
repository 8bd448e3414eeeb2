#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/nearest.h"
#include "job/checks.h"
#include "job/fields.h"
#include "job/ini.h"

namespace tessera {
namespace {

/// A value as it was given, in the file or on the command line.
struct Given {
  std::string key;
  std::string text;   // with ${NAME} for variables
  std::string where;  // "jobs/mine.ini:14", "override train.max_steps=5"
  Path folder;        // where its relative paths start
  bool overriding = false;
};

/// A section of the file, or one that only overrides mention.
struct Part {
  const Section* section;
  std::string name;  // as written: "train", "dataset.NAME"
  std::string where;
  std::vector<Given> given;

  const Given* find(const std::string& key) const {
    const auto found = std::find_if(given.begin(), given.end(), [&](const Given& each) { return each.key == key; });
    return found == given.end() ? nullptr : &*found;
  }
  std::string at(const Given& value) const { return fmt::format("{}: [{}] {}", value.where, name, value.key); }
};

/// The section that `name` is one of, or the error that names the nearest.
const Section& section_named(const std::string& name, const std::string& where) {
  const std::string head = name.substr(0, name.find('.'));
  const std::string tail = head.size() < name.size() ? name.substr(head.size() + 1) : "";
  std::vector<std::string> names;
  for (const Section& section : sections()) {
    if (section.name == (section.repeated ? head : name)) {
      if (!section.repeated || !tail.empty()) return section;
      throw JobError("{}: [{}]: a name is missing; write {}", where, name, heading(section));
    }
    names.push_back(section.name);
  }
  const std::string meant = nearest(head, names);
  const bool repeated = meant == "dataset" || meant == "eval_dataset";
  const std::string suffix = !repeated ? "" : tail.empty() ? ".NAME" : "." + tail;
  throw JobError("{}: [{}]: no such section; did you mean [{}{}]?", where, name, meant, suffix);
}

/// The field that `given` names, or the error that names the nearest.
const Field& field_named(const Part& part, const Given& given) {
  if (const Field* field = part.section->find(given.key)) return *field;
  for (const Section& other : sections())
    if (!other.repeated && other.find(given.key))
      throw JobError("{}: no such key; did you mean [{}] {}?", part.at(given), other.name, given.key);
  std::vector<std::string> names;
  for (const Field& field : part.section->fields) names.push_back(field.key);
  throw JobError("{}: no such key; did you mean {}?", part.at(given), nearest(given.key, names));
}

class JobParser {
 public:
  explicit JobParser(const Path& file) : file_(file.string()) { job_.file = file; }

  void read(const std::string& text);
  void read_override(const std::string& text);
  Job finish();

 private:
  Part& part_named(const std::string& name, const std::string& where);
  void make_datasets();
  Target target_of(const Part& part);
  void read_values(const Part& part);
  void check_part(const Part& part);
  void fill_defaults(const Part& part);
  std::string locate(const std::string& section, const std::string& key) const;

  std::string file_;
  Job job_;
  std::vector<Part> parts_;
  std::map<std::string, DatasetSettings*> datasets_;  // by the whole name of the section
};

std::string text_of_job_file(const Path& file) {
  try {
    return read_text(file);
  } catch (const DataError& error) {
    throw JobError("{}", error.what());  // the same words; here it is the command that is wrong, not data
  }
}

void JobParser::read(const std::string& text) {
  const Path folder = std::filesystem::absolute(file_).parent_path();
  for (const ini::Section& written : ini::parse(text, file_)) {
    Part& part = part_named(written.name, fmt::format("{}:{}", file_, written.line));
    for (const ini::Entry& entry : written.entries)
      part.given.push_back({entry.key, entry.text, fmt::format("{}:{}", file_, entry.line), folder});
  }
}

void JobParser::read_override(const std::string& text) {
  const std::string where = "override " + text;
  const size_t equals = text.find('=');
  const size_t dot = text.substr(0, equals).rfind('.');
  if (equals == text.npos || dot == text.npos) throw JobError("{}: expected section.key=value", where);
  const std::string written(ini::trimmed(std::string_view(text).substr(equals + 1)));
  Given given{text.substr(dot + 1, equals - dot - 1), written, where, std::filesystem::current_path(), true};

  Part& part = part_named(text.substr(0, dot), where);
  const Field& field = field_named(part, given);
  const std::string value = ini::expand_environment(written, part.at(given));
  // The last word counts: it displaces an earlier value of the key, and from the file what is the alternative to it.
  const auto is_alternative = [&](const Given& other) {
    return (other.key == field.instead_of && value != "0") || field_named(part, other).instead_of == given.key;
  };
  const auto is_displaced = [&](const Given& other) {
    return other.key == given.key || (!other.overriding && is_alternative(other));
  };
  part.given.erase(std::remove_if(part.given.begin(), part.given.end(), is_displaced), part.given.end());
  part.given.push_back(given);
}

Part& JobParser::part_named(const std::string& name, const std::string& where) {
  for (Part& part : parts_)
    if (part.name == name) return part;
  parts_.push_back({&section_named(name, where), name, where, {}});
  return parts_.back();
}

Job JobParser::finish() {
  make_datasets();
  for (const Part& part : parts_) read_values(part);
  for (const Section& section : sections())
    if (!section.repeated) part_named(section.name, file_);
  for (const Part& part : parts_) check_part(part);
  for (const Part& part : parts_) fill_defaults(part);
  const Locate locator = [this](const std::string& section, const std::string& key) { return locate(section, key); };
  check_together(job_, locator);
  return std::move(job_);
}

/// All data sets first: targets point to them.
void JobParser::make_datasets() {
  for (const auto& [kind, list] : {std::pair{"dataset", &job_.datasets}, {"eval_dataset", &job_.eval_datasets}}) {
    std::vector<const Part*> of_kind;
    for (const Part& part : parts_)
      if (part.section->name == kind) of_kind.push_back(&part);
    list->resize(of_kind.size());
    for (size_t i = 0; i < of_kind.size(); ++i) {
      (*list)[i].name = of_kind[i]->name.substr(std::string(kind).size() + 1);
      datasets_[of_kind[i]->name] = &(*list)[i];
    }
  }
}

Target JobParser::target_of(const Part& part) {
  return {job_, part.section->repeated ? datasets_.at(part.name) : nullptr};
}

void JobParser::read_values(const Part& part) {
  for (const Given& given : part.given) {
    const Field& field = field_named(part, given);
    const Target target = target_of(part);
    try {
      field.read(target, ini::expand_environment(given.text, part.at(given)), given.folder);
    } catch (const WrongValue& wrong) {
      throw JobError("{}: {}", part.at(given), wrong.message);
    }
    if (ini::names_variable(given.text) && !field.is_path(target))
      job_.from_environment[fmt::format("[{}] {}", part.name, given.key)] = given.text;
  }
}

/// Required keys, keys that the others leave without use, and keys that exclude each other.
void JobParser::check_part(const Part& part) {
  const Section& section = *part.section;
  const Target target = target_of(part);
  const auto is_on = [&](const Field& field) {
    return part.find(field.key) && !(field.zero_is_off && field.write(target) == "0");
  };
  for (const Field& field : section.fields)
    if (field.required && !part.find(field.key))
      throw JobError("{}: [{}] {}: missing; expected {}. {}.", part.where, part.name, field.key, field.expected,
                     field.help);
  for (const Field& field : section.fields) {
    const Given* given = part.find(field.key);
    if (!given && field.needed_by && holds(*field.needed_by, section, target))
      throw JobError("{}: missing; {} = {} requires it; expected {}", locate(part.name, field.key),
                     field.needed_by->key, section.at(field.needed_by->key).write(target), field.expected);
    if (!is_on(field)) continue;
    if (const Condition* condition = unmet(field, section, target))
      throw JobError("{}: only applies with {}; here {} is {}", part.at(*given),
                     condition->words.empty() ? fmt::format("{} = {}", condition->key, enumerated(condition->values))
                                              : condition->words,
                     condition->key, section.at(condition->key).write(target));
    const Field* other = section.find(field.instead_of);
    if (other && is_on(*other))
      throw JobError("{}: excludes {}, which is set too ({}); remove one of the two", part.at(*given), other->key,
                     part.find(other->key)->where);
  }
}

void JobParser::fill_defaults(const Part& part) {
  const Target target = target_of(part);
  for (const Field& field : part.section->fields)
    if (field.fill && !part.find(field.key) && !unmet(field, *part.section, target))
      field.read(target, field.fill(target), {});
}

std::string JobParser::locate(const std::string& section, const std::string& key) const {
  for (const Part& part : parts_) {
    if (part.name != section) continue;
    if (const Given* given = part.find(key)) return part.at(*given);
    return fmt::format("{}: [{}] {}", part.where, section, key);
  }
  return fmt::format("{}: [{}] {}", file_, section, key);
}

}  // namespace

Job parse_job(const Path& file, const std::vector<std::string>& overrides) {
  JobParser parser(file);
  parser.read(text_of_job_file(file));
  for (const std::string& text : overrides) parser.read_override(text);
  return parser.finish();
}

Job parse_job_text(const std::string& text, const Path& file) {
  JobParser parser(file);
  parser.read(text);
  return parser.finish();
}

}  // namespace tessera
