#include <fmt/format.h>

#include <map>

#include "job/fields.h"
#include "job/ini.h"

namespace tessera {
namespace {

/// Is there a key that replaces this one and is in use?
bool is_replaced(const Field& field, const Section& section, const Target& target) {
  for (const Field& other : section.fields)
    if (other.instead_of == field.key && other.write(target) != "0") return true;
  return false;
}

void write_section(const Section& section, const std::string& name, const Target& target, std::string& text) {
  text += "\n[" + name + "]\n";
  for (const Field& field : section.fields) {
    const std::string value = field.write(target);
    const bool is_off = !field.instead_of.empty() && value == "0";
    if (value.empty() || is_off || unmet(field, section, target) || is_replaced(field, section, target)) continue;
    text += field.key + " = " + ini::quoted(value) + "\n";
  }
}

using Values = std::map<std::string, std::string>;  // "[section] key" → value

bool shapes_the_curve(const std::string& section, const std::string& key) {
  if (section == "job") return key == "seed";
  if (section == "model") return key != "gradient_checkpointing";
  if (section == "data") return key != "prepared_path" && key != "workers";
  return section == "train" || section.starts_with("dataset.");
}

Values values_of_curve(const std::string& resolved) {
  Values values;
  for (const ini::Section& section : ini::parse(resolved, "the resolved job"))
    for (const ini::Entry& entry : section.entries)
      if (shapes_the_curve(section.name, entry.key))
        values[fmt::format("[{}] {}", section.name, entry.key)] = entry.value;
  return values;
}

}  // namespace

std::string resolved_text(const Job& job) {
  Job copy = job;  // fields give access to settings for reading and writing alike
  std::string text = "; The job with every default filled in.  It is a job file itself.\n";
  for (const Section& section : sections()) {
    if (!section.repeated) {
      write_section(section, section.name, {copy}, text);
      continue;
    }
    for (DatasetSettings& dataset : section.name == "dataset" ? copy.datasets : copy.eval_datasets)
      write_section(section, section.name + "." + dataset.name, {copy, &dataset}, text);
  }
  return text;
}

std::vector<std::string> changed_settings(const std::string& resolved_before, const Job& now) {
  const Values before = values_of_curve(resolved_before), after = values_of_curve(resolved_text(now));
  std::vector<std::string> changes;
  for (const auto& [name, value] : before) {
    const auto found = after.find(name);
    if (found == after.end())
      changes.push_back(fmt::format("{}: {}, now none", name, ini::quoted(value)));
    else if (found->second != value)
      changes.push_back(fmt::format("{}: {}, now {}", name, ini::quoted(value), ini::quoted(found->second)));
  }
  for (const auto& [name, value] : after)
    if (!before.contains(name)) changes.push_back(fmt::format("{}: now {}", name, ini::quoted(value)));
  return changes;
}

}  // namespace tessera
