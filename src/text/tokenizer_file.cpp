#include "text/tokenizer_file.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/excerpt.h"
#include "base/files.h"
#include "base/hash.h"

namespace tessera {
namespace {

using nlohmann::json;

/// The ids of a vocabulary leave few gaps, and a token takes bytes of the file: one far above both would only take
/// memory.
constexpr size_t highest_id_of_small_file = 1 << 20;

/// Builds the document from the parser's events, but puts model.vocab and model.merges into the file's tables.
class Reader : public nlohmann::json_sax<json> {
 public:
  Reader(TokenizerFile& file, size_t bytes) : file_(file), highest_id_(std::max(bytes, highest_id_of_small_file)) {}

  bool null() override { return value(nullptr); }
  bool boolean(bool flag) override { return value(flag); }
  bool number_integer(number_integer_t number) override { return value(number); }
  bool number_unsigned(number_unsigned_t number) override {
    if (part_ != Part::vocabulary) return value(number);
    if (number > highest_id_) fail(fmt::format("the token {} has the invalid id {}", excerpt(key_), number));
    file_.vocabulary.add(key_, static_cast<int32_t>(number));
    return true;
  }
  bool number_float(number_float_t number, const string_t&) override { return value(number); }
  bool binary(binary_t&) override { return false; }

  bool string(string_t& text) override {
    if (part_ == Part::merges) {
      add_merge(text);
      return true;
    }
    if (part_ == Part::merge) {
      add_half(text);
      return true;
    }
    return value(std::move(text));
  }

  bool key(string_t& name) override {
    key_ = std::move(name);
    return true;
  }

  bool start_object(size_t) override {
    if (part_ == Part::document && in_model() && key_ == "vocab") {
      part_ = Part::vocabulary;
      file_.has_vocabulary = true;
      return true;
    }
    return open(json::object());
  }
  bool end_object() override {
    if (part_ == Part::vocabulary) {
      part_ = Part::document;
      return true;
    }
    open_.pop_back();
    return true;
  }

  bool start_array(size_t) override {
    if (part_ == Part::document && in_model() && key_ == "merges") {
      part_ = Part::merges;
      file_.has_merges = true;
      return true;
    }
    if (part_ == Part::merges) {
      part_ = Part::merge;
      halves_ = 0;
      return true;
    }
    return open(json::array());
  }
  bool end_array() override {
    if (part_ == Part::merge) {
      if (halves_ != 2) fail(fmt::format("merge {} is not a pair", file_.merges.size() + 1));
      const auto end = static_cast<uint32_t>(file_.merge_texts.size());
      file_.merges.push_back({merge_begin_, merge_middle_, end});
      part_ = Part::merges;
      return true;
    }
    if (part_ == Part::merges) {
      part_ = Part::document;
      return true;
    }
    open_.pop_back();
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  enum class Part { document, vocabulary, merges, merge };

  [[noreturn]] void fail(const std::string& what) const { throw DataError("{}: {}", file_.where, what); }
  bool in_model() const { return open_.size() == 2 && model_ == open_.back(); }

  /// Puts `item` where the document has come to.
  json* place(json item) {
    if (open_.empty()) {
      file_.rest = std::move(item);
      return &file_.rest;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(item));
      return &parent.back();
    }
    return &(parent[key_] = std::move(item));
  }

  bool value(json item) {
    if (part_ == Part::vocabulary) fail(fmt::format("the id of the token {} is not a whole number", excerpt(key_)));
    if (part_ != Part::document) fail(fmt::format("merge {} is not a pair of tokens", file_.merges.size() + 1));
    place(std::move(item));
    return true;
  }

  bool open(json container) {
    if (part_ == Part::vocabulary) fail(fmt::format("the id of the token {} is not a whole number", excerpt(key_)));
    if (part_ != Part::document) fail(fmt::format("merge {} is not a pair of tokens", file_.merges.size() + 1));
    json* const placed = place(std::move(container));
    if (open_.size() == 1 && key_ == "model") model_ = placed;
    open_.push_back(placed);
    return true;
  }

  void add_merge(const std::string& text) {
    if (text.starts_with("#version")) return;  // the first line of a merges.txt
    const size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
      fail(fmt::format("merge {}, \"{}\", is not two tokens", file_.merges.size() + 1, excerpt(text)));
    }
    const auto begin = static_cast<uint32_t>(file_.merge_texts.size());
    file_.merge_texts.append(text, 0, space).append(text, space + 1);
    file_.merges.push_back(
        {begin, begin + static_cast<uint32_t>(space), static_cast<uint32_t>(file_.merge_texts.size())});
  }

  void add_half(const std::string& text) {
    (halves_++ == 0 ? merge_begin_ : merge_middle_) = static_cast<uint32_t>(file_.merge_texts.size());
    file_.merge_texts += text;
  }

  TokenizerFile& file_;
  size_t highest_id_;
  Part part_ = Part::document;
  std::string key_;
  std::vector<json*> open_;
  const json* model_ = nullptr;
  int halves_ = 0;
  uint32_t merge_begin_ = 0, merge_middle_ = 0;
};

}  // namespace

TokenizerFile TokenizerFile::read(const std::filesystem::path& path) {
  TokenizerFile file;
  file.where = path.string();
  const std::string text = read_text(path, max_json_bytes);
  Hasher hasher;
  hasher.update(text.data(), text.size());
  file.hash = hasher.hex();
  Reader reader(file, text.size());
  parse_json(text, file.where, reader);
  if (!file.rest.is_object()) throw DataError("{}: it is not a JSON object", file.where);
  return file;
}

}  // namespace tessera
