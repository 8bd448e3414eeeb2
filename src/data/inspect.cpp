#include "data/inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace tessera {
namespace {

constexpr std::string_view green = "\x1b[32m", dim = "\x1b[2m", plain = "\x1b[0m";
constexpr std::string_view replacement_character = "\xEF\xBF\xBD";
constexpr std::string_view metaspace = "\xE2\x96\x81";

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

/// One token as it reads in the text; as the vocabulary writes it where it is only a part of a character.
std::string token_text(int32_t id, const Tokenizer* tokenizer) {
  if (!tokenizer) return std::to_string(id);
  const std::string written = tokenizer->id_to_token(id);
  std::string text = tokenizer->decode({id}, SpecialDecode::keep);
  if (written.find(metaspace) != std::string::npos) {  // decoding a token by itself takes its first space away
    text = written;
    replace_all(text, metaspace, " ");
  }
  if (text.empty() || text.find(replacement_character) != std::string::npos) text = written;
  if (text.empty()) text = fmt::format("<{}>", id);
  replace_all(text, "\n", "↵\n");
  return text;
}

class Description {
 public:
  Description(const Tokenizer* tokenizer, bool color) : tokenizer_(tokenizer), color_(color) {}

  void add_sample(const PreparedSet& set, int64_t i) {
    std::vector<int32_t> ids, labels;
    set.read(i, ids, labels);
    const auto index = static_cast<size_t>(i);
    text_ += fmt::format("sample {} of {} ({}): {} tokens, {} carry loss\n", i + 1, set.size(), set.source(i),
                         set.lengths()[index], set.supervised()[index]);
    masked_before_ = false;
    for (size_t k = 0; k < ids.size(); ++k) add_token(ids[k], k == 0 ? ignored_label : labels[k]);
    text_ += color_ ? fmt::format("{}\n\n", plain) : "\n\n";
  }

  const std::string& text() const { return text_; }

 private:
  /// `label` is that of the prediction made for this token; the first token of a sample is never predicted.
  void add_token(int32_t id, int32_t label) {
    const bool masked = label == ignored_label;
    std::string shown = token_text(id, tokenizer_);
    if (!masked && label != id) shown += "→" + token_text(label, tokenizer_);
    if (color_)
      text_ += fmt::format("{}{}{}{}|", plain, masked ? dim : green, shown, dim);
    else if (masked)
      text_ += (masked_before_ ? "|" : "") + shown;
    else
      text_ += "[" + shown + "]";
    masked_before_ = masked;
  }

  const Tokenizer* tokenizer_;
  bool color_;
  bool masked_before_ = false;
  std::string text_;
};

}  // namespace

std::string describe_samples(const PreparedSet& set, const Tokenizer* tokenizer, int64_t first, bool color) {
  Description description(tokenizer, color);
  for (int64_t i = 0; i < std::min(first, set.size()); ++i) description.add_sample(set, i);
  return description.text();
}

}  // namespace tessera
