#include "text/normalizer.h"

#include <utf8proc.h>

#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "text/description.h"
#include "text/unicode_normalization.h"

namespace tessera {
namespace {

class Form : public Normalizer {
 public:
  explicit Form(NormalizationForm form) : form_(form) {}
  void run(AlignedText& text, RegexScratch&) const override { normalize(text, form_); }

 private:
  NormalizationForm form_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  void run(AlignedText& text, RegexScratch&) const override { text.prepend(prefix_); }

 private:
  std::string prefix_;
};

class ReplaceNormalizer : public Normalizer {
 public:
  ReplaceNormalizer(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  void run(AlignedText& text, RegexScratch&) const override { text.replace_all(from_, to_); }

 private:
  std::string from_, to_;
};

class ReplaceMatches : public Normalizer {
 public:
  ReplaceMatches(Regex pattern, std::string to) : pattern_(std::move(pattern)), to_(std::move(to)) {}
  void run(AlignedText& text, RegexScratch& scratch) const override {
    if (text.text().empty()) return;
    std::vector<Match> parts;
    pattern_.cut(text.text(), scratch, parts);
    AlignedTextBuilder builder(text);
    for (const Match& part : parts) {
      if (!part.matched) {
        builder.keep(part.begin, part.end);
      } else {
        const Span first = text.span_at(0);
        builder.insert(to_, part.end > 0 ? text.span_at(part.end - 1) : Span{first.begin, first.begin});
      }
    }
    text = builder.finish();
  }

 private:
  Regex pattern_;
  std::string to_;
};

/// As Rust's char::to_lowercase: character by character, and only İ becomes two.
class Lowercase : public Normalizer {
 public:
  void run(AlignedText& text, RegexScratch&) const override {
    AlignedTextBuilder builder(text);
    std::string lower;
    for (size_t at = 0; at < text.text().size();) {
      const Span span = text.span_at(at);
      const char32_t character = unicode::next(text.text(), at);
      lower.clear();
      unicode::append(lower, character == 0x130
                                 ? 'i'
                                 : static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(character))));
      if (character == 0x130) unicode::append(lower, 0x307);
      builder.insert(lower, span);
    }
    text = builder.finish();
  }
};

class SequenceNormalizer : public Normalizer {
 public:
  explicit SequenceNormalizer(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}
  void run(AlignedText& text, RegexScratch& scratch) const override {
    for (const auto& step : steps_) step->apply(text, scratch);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

std::unique_ptr<Normalizer> read_replace(const Description& description) {
  const Description::Pattern pattern = description.pattern("pattern");
  std::string to = description.text("content");
  if (!pattern.is_regex && !pattern.text.empty())
    return std::make_unique<ReplaceNormalizer>(pattern.text, std::move(to));
  return std::make_unique<ReplaceMatches>(description.compile(pattern), std::move(to));
}

std::unique_ptr<Normalizer> read_rule(const nlohmann::json& json, const std::string& where) {
  const Description description(json, "normalizer", where);
  const std::string& type = description.type();
  if (type == "Sequence") {
    std::vector<std::unique_ptr<Normalizer>> steps;
    for (const auto& step : description.steps("normalizers")) steps.push_back(Normalizer::read(step, where));
    description.allow({"normalizers"});
    return std::make_unique<SequenceNormalizer>(std::move(steps));
  }
  if (type == "Prepend") {
    description.allow({"prepend"});
    return std::make_unique<Prepend>(description.text("prepend"));
  }
  if (type == "Replace") {
    description.allow({"pattern", "content"});
    return read_replace(description);
  }
  description.allow({});
  if (type == "NFC") return std::make_unique<Form>(NormalizationForm::nfc);
  if (type == "NFD") return std::make_unique<Form>(NormalizationForm::nfd);
  if (type == "NFKC") return std::make_unique<Form>(NormalizationForm::nfkc);
  if (type == "NFKD") return std::make_unique<Form>(NormalizationForm::nfkd);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  description.refuse_type();
}

}  // namespace

void Normalizer::apply(AlignedText& text, RegexScratch& scratch) const {
  try {
    run(text, scratch);
  } catch (const TextGrew& error) {
    throw DataError("{}: {}", name_, error.what());
  }
}

std::unique_ptr<Normalizer> Normalizer::read(const nlohmann::json& json, const std::string& where) {
  std::unique_ptr<Normalizer> rule = read_rule(json, where);
  rule->name_ = fmt::format("{}: normalizer {} {}", where, json["type"].get<std::string>(), shown(json));
  return rule;
}

}  // namespace tessera
