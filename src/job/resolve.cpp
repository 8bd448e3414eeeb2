#include <fmt/format.h>

#include <functional>
#include <map>

#include "base/error.h"
#include "base/utf8.h"
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

/// Bytes outside ASCII as \xE9, so that a message shows them wherever it is read.
std::string printable(const std::string& text) {
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    shown += byte >= 0x20 && byte < 0x7F ? std::string(1, c) : fmt::format("\\x{:02X}", byte);
  }
  return shown;
}

/// What the resolved job says of a key: the text that stands there, with ${NAME} for variables.
using Say = std::function<void(const std::string& section, const Field& field, const std::string& text)>;

void say_section(const Section& section, const std::string& name, const Target& target, const Say& say) {
  for (const Field& field : section.fields) {
    const std::string value = field.write(target);
    const bool is_off = !field.instead_of.empty() && value == "0";
    if (value.empty() || is_off || unmet(field, section, target) || is_replaced(field, section, target)) continue;
    const auto variable = target.job.from_environment.find(fmt::format("[{}] {}", name, field.key));
    say(name, field,
        variable != target.job.from_environment.end() ? ini::quoted_text(variable->second) : ini::quoted(value));
  }
}

/// begin(name) at each section, then say() for each of its keys.
void say_job(const Job& job, const std::function<void(const std::string& section)>& begin, const Say& say) {
  Job copy = job;  // fields give access to settings for reading and writing alike
  for (const Section& section : sections()) {
    if (!section.repeated) {
      begin(section.name);
      say_section(section, section.name, {copy}, say);
      continue;
    }
    for (DatasetSettings& dataset : section.name == "dataset" ? copy.datasets : copy.eval_datasets) {
      const std::string name = section.name + "." + dataset.name;
      begin(name);
      say_section(section, name, {copy, &dataset}, say);
    }
  }
}

/// The job with the values of variables in their places.
Job expanded(const Job& job) {
  Job copy = job;
  copy.from_environment.clear();
  return copy;
}

void require_name(const std::string& name, const std::string& where) {
  const bool sayable = utf8::is_valid(name) && name.find_first_of("]\n") == name.npos && ini::trimmed(name) == name;
  if (!sayable)
    throw JobError("{}: [{}]: this name cannot be written to the resolved job file; rename the data set", where,
                   printable(name));
}

using Values = std::map<std::string, std::string>;  // "[section] key" → text

bool shapes_the_curve(const std::string& section, const std::string& key) {
  if (section == "job") return key == "seed";
  if (section == "model") return key != "gradient_checkpointing";
  if (section == "data") return key != "prepared_path" && key != "workers";
  if (section == "adapter") return key != "base_adapter" && key != "init_lora_weights";  // where it begins
  return section == "train" || section.starts_with("dataset.");
}

Values values_of_curve(const std::string& resolved) {
  Values values;
  for (const ini::Section& section : ini::parse(resolved, "the resolved job"))
    for (const ini::Entry& entry : section.entries)
      if (shapes_the_curve(section.name, entry.key))
        values[fmt::format("[{}] {}", section.name, entry.key)] = entry.text;
  return values;
}

}  // namespace

std::string resolved_text(const Job& job) {
  std::string text = "; The job with every default filled in.  It is a job file itself.\n";
  say_job(
      job, [&](const std::string& section) { text += "\n[" + section + "]\n"; },
      [&](const std::string&, const Field& field, const std::string& value) {
        text += field.key + " = " + value + "\n";
      });
  return text;
}

void require_resolvable(const Job& job) {
  const std::string where = job.file.string();
  say_job(
      job, [&](const std::string& section) { require_name(section, where); },
      [&](const std::string& section, const Field& field, const std::string& text) {
        if (!utf8::is_valid(text))
          throw JobError("{}: [{}] {}: {} is not UTF-8 and cannot be written to the resolved job file; rename it",
                         where, section, field.key, printable(text));
      });
  // Whatever else there may be: what is written is read again.
  const Path file = job.job.output_dir / "job.resolved.ini";
  Values wanted, found;
  const auto collect = [](const Job& from, Values& values) {
    say_job(
        expanded(from), [](const std::string&) {},
        [&](const std::string& section, const Field& field, const std::string& text) {
          values[fmt::format("[{}] {}", section, field.key)] = text;
        });
  };
  collect(job, wanted);
  try {
    collect(parse_job_text(resolved_text(job), file), found);
  } catch (const JobError& error) {
    throw JobError("{}: the resolved job does not parse: {}", where, error.what());
  }
  for (const auto& [key, text] : wanted)
    if (found[key] != text)
      throw JobError("{}: {}: {} does not survive the resolved job file, which would read it as {}", where, key, text,
                     found[key]);
}

std::vector<std::string> changed_settings(const std::string& resolved_before, const Job& now) {
  Values before;
  try {
    before = values_of_curve(resolved_before);
  } catch (const JobError& error) {
    return {
        fmt::format("settings not compared, since the checkpoint's copy of the job cannot be read ({})", error.what())};
  }
  const Values after = values_of_curve(resolved_text(now)), with_values = values_of_curve(resolved_text(expanded(now)));
  std::vector<std::string> changes;
  for (const auto& [name, text] : before) {
    const auto found = after.find(name);
    if (found == after.end())
      changes.push_back(fmt::format("{}: {}, now none", name, ini::quoted_text(text)));
    else if (found->second != text && with_values.at(name) != text)
      changes.push_back(fmt::format("{}: {}, now {}", name, ini::quoted_text(text), ini::quoted_text(found->second)));
  }
  const Values by_default = values_of_curve(resolved_text(Job{}));  // what an earlier build had no key for
  for (const auto& [name, text] : after)
    if (const auto found = by_default.find(name);
        !before.contains(name) && (found == by_default.end() || found->second != text))
      changes.push_back(fmt::format("{}: now {}", name, ini::quoted_text(text)));
  return changes;
}

}  // namespace tessera
