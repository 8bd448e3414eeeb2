#include "text/post_processor.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "text/description.h"

namespace tessera {
namespace {

using nlohmann::json;

/// Around every text: more would only fill the memory.
constexpr size_t most_special_tokens = 64;

std::vector<int32_t> read_ids(const Description& description, const json& list) {
  std::vector<int32_t> ids;
  for (const json& item : list) {
    const auto id = whole_number(item);
    if (!id || *id < 0 || !std::in_range<int32_t>(*id) || ids.size() == most_special_tokens)
      description.refuse("the ids of its special token are no token's numbers, or too many: " + shown(list));
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

/// The ids of {"SpecialToken": {"id": …}} in a template, or nothing for {"Sequence": {"id": "A"}}.
std::optional<std::vector<int32_t>> read_item(const Description& description, const json& item) {
  const json& specials = description.object("special_tokens");
  try {
    if (item.contains("SpecialToken")) {
      return read_ids(description, specials.at(item.at("SpecialToken").at("id").get<std::string>()).at("ids"));
    }
    if (item.at("Sequence").at("id") == "A") return std::nullopt;
  } catch (const json::exception& error) {
    description.refuse(std::string("its template cannot be read: ") + error.what());
  }
  description.refuse("its template of one text has another text in it: " + shown(item));
}

PostProcessor::Template read_template(const Description& description) {
  description.allow({"single", "pair", "special_tokens"});
  PostProcessor::Template result;
  int texts = 0;
  for (const json& item : description.list("single")) {
    const auto ids = read_item(description, item);
    if (!ids) ++texts;
    auto& side = texts ? result.after : result.before;
    if (ids) side.insert(side.end(), ids->begin(), ids->end());
    if (side.size() > most_special_tokens) description.refuse("its template puts too many tokens around a text");
  }
  if (texts != 1) description.refuse("its template does not hold the text once");
  return result;
}

void read_step(const json& json, const std::string& where, PostProcessor& result) {
  const Description description(json, "post_processor", where);
  if (description.type() == "Sequence") {
    description.allow({"processors"});
    for (const auto& step : description.steps("processors")) read_step(step, where, result);
  } else if (description.type() == "ByteLevel") {
    description.allow({"add_prefix_space", "trim_offsets", "use_regex"});
    if (!description.flag("trim_offsets")) return;
    result.steps.push_back(description.flag("add_prefix_space") ? PostProcessor::Step::trim_offsets_keeping_prefix
                                                                : PostProcessor::Step::trim_offsets);
  } else if (description.type() == "TemplateProcessing") {
    result.templates.push_back(read_template(description));
    result.steps.push_back(PostProcessor::Step::special_tokens);
  } else {
    description.refuse_type();
  }
}

}  // namespace

bool PostProcessor::trims() const {
  return std::any_of(steps.begin(), steps.end(), [](Step step) { return step != Step::special_tokens; });
}

PostProcessor PostProcessor::read(const json& description, const std::string& where) {
  PostProcessor result;
  if (!description.is_null()) read_step(description, where, result);
  return result;
}

}  // namespace tessera
