#include "text/decoder.h"

#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/description.h"
#include "text/metaspace.h"
#include "text/unicode.h"

namespace tessera {
namespace {

std::string join(const std::vector<std::string>& texts) {
  std::string all;
  for (const auto& text : texts) all += text;
  return all;
}

class ByteLevelDecoder : public Decoder {
 public:
  void apply(std::vector<std::string>& texts) const override {
    std::string bytes;
    for (const auto& text : texts) {
      if (!byte_alphabet::read(text, bytes)) bytes += text;
    }
    texts = {unicode::replace_broken(bytes)};
  }
};

/// Rows of tokens such as <0xE2> become the characters that their bytes spell, or one U+FFFD for each of them.
class ByteFallback : public Decoder {
 public:
  void apply(std::vector<std::string>& texts) const override {
    std::vector<std::string> result;
    std::string bytes;
    const auto flush = [&] {
      if (utf8::is_valid(bytes)) {
        if (!bytes.empty()) result.push_back(bytes);
      } else {
        result.insert(result.end(), bytes.size(), "\xEF\xBF\xBD");
      }
      bytes.clear();
    };
    for (auto& text : texts) {
      if (const int byte = byte_of(text); byte >= 0) {
        bytes += static_cast<char>(byte);
      } else {
        flush();
        result.push_back(std::move(text));
      }
    }
    flush();
    texts.swap(result);
  }

 private:
  static int byte_of(const std::string& token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    if (!std::isxdigit(static_cast<unsigned char>(token[3])) || !std::isxdigit(static_cast<unsigned char>(token[4]))) {
      return -1;
    }
    return std::stoi(token.substr(3, 2), nullptr, 16);
  }
};

class Fuse : public Decoder {
 public:
  void apply(std::vector<std::string>& texts) const override { texts = {join(texts)}; }
};

/// Takes up to `start` times `content` off the front of each text and up to `stop` times off its end.
class Strip : public Decoder {
 public:
  Strip(std::string content, int64_t start, int64_t stop) : content_(std::move(content)), start_(start), stop_(stop) {}
  void apply(std::vector<std::string>& texts) const override {
    for (auto& text : texts) {
      std::string_view kept = text;
      for (int64_t i = 0; i < start_ && kept.starts_with(content_); ++i) kept.remove_prefix(content_.size());
      for (int64_t i = 0; i < stop_ && kept.ends_with(content_); ++i) kept.remove_suffix(content_.size());
      if (kept.size() < text.size()) text = std::string(kept);
    }
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

class ReplaceDecoder : public Decoder {
 public:
  ReplaceDecoder(Regex pattern, std::string to) : pattern_(std::move(pattern)), to_(std::move(to)) {}
  void apply(std::vector<std::string>& texts) const override {
    RegexScratch scratch;
    std::vector<Match> parts;
    for (auto& text : texts) {
      parts.clear();
      pattern_.cut(text, scratch, parts);
      std::string result;
      for (const Match& part : parts) {
        result += part.matched ? to_ : text.substr(part.begin, part.end - part.begin);
      }
      text.swap(result);
    }
  }

 private:
  Regex pattern_;
  std::string to_;
};

/// ▁ becomes a space, but in the first token nothing, where encoding put one before the text.
class MetaspaceDecoder : public Decoder {
 public:
  explicit MetaspaceDecoder(Metaspace settings) : settings_(std::move(settings)) {}
  void apply(std::vector<std::string>& texts) const override {
    for (size_t i = 0; i < texts.size(); ++i) {
      const bool drops = i == 0 && settings_.prepend != Metaspace::Prepend::never;
      std::string result;
      for (size_t at = 0; at < texts[i].size();) {
        const size_t bytes = unicode::bytes_of(texts[i][at]);
        if (texts[i].compare(at, bytes, settings_.replacement) != 0) {
          result.append(texts[i], at, bytes);
        } else if (!drops) {
          result += ' ';
        }
        at += bytes;
      }
      texts[i].swap(result);
    }
  }

 private:
  Metaspace settings_;
};

class SequenceDecoder : public Decoder {
 public:
  explicit SequenceDecoder(std::vector<std::unique_ptr<Decoder>> steps) : steps_(std::move(steps)) {}
  void apply(std::vector<std::string>& texts) const override {
    for (const auto& step : steps_) step->apply(texts);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> steps_;
};

}  // namespace

std::unique_ptr<Decoder> Decoder::read(const nlohmann::json& json, const std::string& where) {
  const Description description(json, "decoder", where);
  const std::string& type = description.type();
  if (type == "Sequence") {
    description.allow({"decoders"});
    std::vector<std::unique_ptr<Decoder>> steps;
    for (const auto& step : description.steps("decoders")) steps.push_back(read(step, where));
    return std::make_unique<SequenceDecoder>(std::move(steps));
  }
  if (type == "ByteLevel") {
    description.allow({"add_prefix_space", "trim_offsets", "use_regex"});
    return std::make_unique<ByteLevelDecoder>();
  }
  if (type == "Replace") {
    description.allow({"pattern", "content"});
    return std::make_unique<ReplaceDecoder>(description.compile(description.pattern("pattern")),
                                            description.text("content"));
  }
  if (type == "Strip") {
    description.allow({"content", "start", "stop"});
    if (description.text("content").empty()) description.refuse("its \"content\" is empty");
    return std::make_unique<Strip>(description.text("content"), description.number("start"),
                                   description.number("stop"));
  }
  if (type == "Metaspace") return std::make_unique<MetaspaceDecoder>(read_metaspace(description));
  description.allow({});
  if (type == "ByteFallback") return std::make_unique<ByteFallback>();
  if (type == "Fuse") return std::make_unique<Fuse>();
  description.refuse_type();
}

}  // namespace tessera
