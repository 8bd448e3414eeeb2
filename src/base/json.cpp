#include "base/json.h"

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/excerpt.h"
#include "base/files.h"

namespace tessera {
namespace {

using nlohmann::json;

constexpr size_t longest_shown = 80;
constexpr size_t most_ordered_members = 10'000;  // an object of ordered_json looks through all for each that is added

/// What nlohmann::json says, without its own name before it, and with the token it stumbled over cut off.
std::string reason(const json::exception& error) {
  std::string_view text = error.what();
  if (const size_t end = text.find("] "); text.starts_with("[json.exception") && end != std::string_view::npos)
    text.remove_prefix(end + 2);
  return excerpt(text, 2 * longest_shown);
}

/// Sits between the parser and the consumer of events, and enforces the document's bounds.  The parser itself keeps its
/// place in a vector, so that no document makes it recurse.
class Bounded : public nlohmann::json_sax<json> {
 public:
  Bounded(nlohmann::json_sax<json>& inner, const std::string& where) : inner_(inner), where_(where) {}

  bool null() override { return counted(inner_.null()); }
  bool boolean(bool value) override { return counted(inner_.boolean(value)); }
  bool number_integer(number_integer_t value) override { return counted(inner_.number_integer(value)); }
  bool number_unsigned(number_unsigned_t value) override { return counted(inner_.number_unsigned(value)); }
  bool number_float(number_float_t value, const string_t& text) override {
    return counted(inner_.number_float(value, text));
  }
  bool string(string_t& value) override { return counted(inner_.string(value)); }
  bool binary(binary_t& value) override { return counted(inner_.binary(value)); }
  bool key(string_t& name) override { return inner_.key(name); }

  bool start_object(size_t elements) override {
    descend();
    return counted(inner_.start_object(elements));
  }
  bool start_array(size_t elements) override {
    descend();
    return counted(inner_.start_array(elements));
  }
  bool end_object() override {
    --depth_;
    return inner_.end_object();
  }
  bool end_array() override {
    --depth_;
    return inner_.end_array();
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    throw DataError("{}: is not a complete JSON document: {}", where_, reason(error));
  }

 private:
  void descend() {
    if (++depth_ > max_json_depth)
      throw DataError("{}: its JSON is nested deeper than {} levels; the file is damaged or of another kind", where_,
                      max_json_depth);
  }
  bool counted(bool goes_on) {
    if (++values_ > max_json_values)
      throw DataError("{}: its JSON holds more than {} values; the file is damaged or of another kind", where_,
                      max_json_values);
    return goes_on;
  }

  nlohmann::json_sax<json>& inner_;
  const std::string& where_;
  int depth_ = 0;
  int64_t values_ = 0;
};

/// Builds a document, json or ordered_json, from the events.
template <typename Json>
class Builder : public nlohmann::json_sax<json> {
 public:
  explicit Builder(const std::string& where) : where_(where) {}
  Json take() { return std::move(document_); }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool key(string_t& name) override {
    key_ = std::move(name);
    return true;
  }
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  Json* place(Json value) {
    if (open_.empty()) return &(document_ = std::move(value));
    Json& parent = *open_.back();
    if (parent.is_object()) {
      if (std::is_same_v<Json, nlohmann::ordered_json> && parent.size() >= most_ordered_members)
        throw DataError("{}: a JSON object has more than {} members", where_, most_ordered_members);
      return &(parent[key_] = std::move(value));
    }
    parent.push_back(std::move(value));
    return &parent.back();
  }
  bool put(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json container) {
    open_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& where_;
  Json document_;
  std::vector<Json*> open_;  // the containers around the place that is read, which stay where they are meanwhile
  std::string key_;
};

template <typename Json>
Json build(std::string_view text, const std::string& where) {
  Builder<Json> builder(where);
  parse_json(text, where, builder);
  return builder.take();
}

void show_text(const std::string& text, std::string& out) {
  out += json(excerpt(text, longest_shown)).dump(-1, ' ', false, json::error_handler_t::replace);
}

/// Appends until there is enough; every level adds a character, so that the bound also holds for the recursion.
void show(const json& value, std::string& out) {
  if (out.size() > longest_shown) return;
  if (value.is_string()) return show_text(value.get_ref<const std::string&>(), out);
  if (!value.is_structured()) {
    out += value.dump();
    return;
  }
  out += value.is_object() ? '{' : '[';
  bool first = true;
  for (const auto& item : value.items()) {
    if (out.size() > longest_shown) return;
    if (!std::exchange(first, false)) out += ',';
    if (value.is_object()) {
      show_text(item.key(), out);
      out += ':';
    }
    show(item.value(), out);
  }
  out += value.is_object() ? '}' : ']';
}

}  // namespace

void parse_json(std::string_view text, const std::string& where, nlohmann::json_sax<json>& events) {
  Bounded bounded(events, where);
  json::sax_parse(text, &bounded);
}

json parse_json(std::string_view text, const std::string& where) { return build<json>(text, where); }

nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& where) {
  return build<nlohmann::ordered_json>(text, where);
}

json read_json(const std::filesystem::path& path) { return parse_json(read_text(path, max_json_bytes), path.string()); }

std::string shown(const json& value) {
  std::string text;
  show(value, text);
  return excerpt(text, longest_shown);
}

std::optional<int64_t> whole_number(const json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()})
    return std::nullopt;
  return value.get<int64_t>();
}

}  // namespace tessera
