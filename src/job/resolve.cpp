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

}  // namespace tessera
