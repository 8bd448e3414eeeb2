#include "text/pre_tokenizer.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "text/description.h"
#include "text/metaspace.h"
#include "text/unicode.h"

namespace tessera {
namespace {

/// What becomes of the matches of a Split.
enum class Behaviour { removed, isolated, merged_with_previous, merged_with_next, contiguous };

Behaviour read_behaviour(const Description& description) {
  const std::string name = description.text("behavior");
  if (name == "Removed") return Behaviour::removed;
  if (name == "Isolated") return Behaviour::isolated;
  if (name == "MergedWithPrevious") return Behaviour::merged_with_previous;
  if (name == "MergedWithNext") return Behaviour::merged_with_next;
  if (name == "Contiguous") return Behaviour::contiguous;
  description.refuse("unsupported behavior \"" + name + "\"");
}

void join_contiguous(std::vector<Match>& parts) {
  std::vector<Match> joined;
  bool previous = false;
  for (const Match& part : parts) {
    if (part.matched == previous && !joined.empty()) {
      joined.back().end = part.end;
    } else {
      joined.push_back(part);
    }
    previous = part.matched;
  }
  parts.swap(joined);
}

void join_with_previous(std::vector<Match>& parts) {
  std::vector<Match> joined;
  bool previous = false;
  for (const Match& part : parts) {
    if (part.matched && !previous && !joined.empty()) {
      joined.back().end = part.end;
    } else {
      joined.push_back(part);
    }
    previous = part.matched;
  }
  parts.swap(joined);
}

void join_with_next(std::vector<Match>& parts) {
  std::vector<Match> joined;  // from the last to the first
  bool previous = false;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (part->matched && !previous && !joined.empty()) {
      joined.back().begin = part->begin;
    } else {
      joined.push_back(*part);
    }
    previous = part->matched;
  }
  parts.assign(joined.rbegin(), joined.rend());
}

void keep_parts(Pieces& pieces, const Piece& piece, std::vector<Match>& parts, Behaviour behaviour) {
  if (behaviour == Behaviour::contiguous) join_contiguous(parts);
  if (behaviour == Behaviour::merged_with_previous) join_with_previous(parts);
  if (behaviour == Behaviour::merged_with_next) join_with_next(parts);
  for (const Match& part : parts) {
    if (behaviour != Behaviour::removed || !part.matched) pieces.keep(piece, part.begin, part.end);
  }
}

class Split : public PreTokenizer {
 public:
  Split(Regex pattern, Behaviour behaviour, bool invert)
      : pattern_(std::move(pattern)), behaviour_(behaviour), invert_(invert) {}

  void apply(Pieces& pieces, RegexScratch& scratch) const override {
    std::vector<Match> parts;
    pieces.for_each([&](const Piece& piece) {
      parts.clear();
      pattern_.cut(pieces.text(piece), scratch, parts);
      if (invert_) {
        for (Match& part : parts) part.matched = !part.matched;
      }
      keep_parts(pieces, piece, parts, behaviour_);
    });
  }

 private:
  Regex pattern_;
  Behaviour behaviour_;
  bool invert_;
};

class Digits : public PreTokenizer {
 public:
  explicit Digits(bool individual) : behaviour_(individual ? Behaviour::isolated : Behaviour::contiguous) {}

  void apply(Pieces& pieces, RegexScratch&) const override {
    std::vector<Match> parts;
    pieces.for_each([&](const Piece& piece) {
      parts.clear();
      cut(pieces.text(piece), parts);
      keep_parts(pieces, piece, parts, behaviour_);
    });
  }

 private:
  static void cut(std::string_view text, std::vector<Match>& parts) {
    size_t done = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      if (!unicode::is_numeric(unicode::next(text, at))) continue;
      if (done < begin) parts.push_back({done, begin, false});
      parts.push_back({begin, at, true});
      done = at;
    }
    if (done < text.size()) parts.push_back({done, text.size(), false});
  }

  Behaviour behaviour_;
};

constexpr std::string_view gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// The bytes themselves are written in GPT-2's alphabet by the model, which so keeps the alignment of whole characters.
class ByteLevelPreTokenizer : public PreTokenizer {
 public:
  ByteLevelPreTokenizer(bool add_prefix_space, bool use_regex, const std::string& where)
      : add_prefix_space_(add_prefix_space) {
    if (use_regex) split_ = std::make_unique<Split>(Regex::compile(gpt2_pattern, where), Behaviour::isolated, false);
  }
  bool writes_bytes() const override { return true; }

  void apply(Pieces& pieces, RegexScratch& scratch) const override {
    if (add_prefix_space_) pieces.for_each([&](const Piece& piece) { prefix(pieces, piece); });
    if (split_) split_->apply(pieces, scratch);
  }

 private:
  static void prefix(Pieces& pieces, Piece piece) {
    if (!pieces.text(piece).starts_with(' ')) {
      AlignedText text = pieces.buffers[piece.buffer].slice(piece.begin, piece.end);
      text.prepend(" ");
      piece = {pieces.add_buffer(std::move(text)), 0, piece.end - piece.begin + 1, Piece::no_token};
    }
    pieces.next.push_back(piece);
  }

  bool add_prefix_space_;
  std::unique_ptr<Split> split_;
};

class MetaspaceCutter : public PreTokenizer {
 public:
  explicit MetaspaceCutter(Metaspace settings) : settings_(std::move(settings)) {}

  void apply(Pieces& pieces, RegexScratch&) const override {
    pieces.for_each([&](const Piece& piece) {
      AlignedText text = pieces.buffers[piece.buffer].slice(piece.begin, piece.end);
      const bool first = text.span_at(0).begin == 0;
      text.replace_all(" ", settings_.replacement);
      const bool wants =
          settings_.prepend == Metaspace::Prepend::always || (settings_.prepend == Metaspace::Prepend::first && first);
      if (wants && !text.text().starts_with(settings_.replacement)) text.prepend(settings_.replacement);
      const auto size = static_cast<uint32_t>(text.text().size());
      cut(pieces, {pieces.add_buffer(std::move(text)), 0, size, Piece::no_token});
    });
  }

 private:
  void cut(Pieces& pieces, const Piece& piece) const {
    if (!settings_.split) return pieces.keep(piece, 0, piece.end);
    const std::string_view text = pieces.text(piece);
    // Each mark belongs to what follows it; of several in a row, only the last.
    size_t begin = 0;
    for (size_t mark = text.find(settings_.replacement); mark != std::string_view::npos;
         mark = text.find(settings_.replacement, mark + settings_.replacement.size())) {
      pieces.keep(piece, begin, mark);
      begin = mark;
    }
    pieces.keep(piece, begin, text.size());
  }

  Metaspace settings_;
};

class SequencePreTokenizer : public PreTokenizer {
 public:
  explicit SequencePreTokenizer(std::vector<std::unique_ptr<PreTokenizer>> steps) : steps_(std::move(steps)) {}
  bool writes_bytes() const override { return !steps_.empty() && steps_.back()->writes_bytes(); }
  void apply(Pieces& pieces, RegexScratch& scratch) const override {
    for (const auto& step : steps_) step->apply(pieces, scratch);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

std::unique_ptr<PreTokenizer> read_sequence(const Description& description, const std::string& where) {
  description.allow({"pretokenizers"});
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  for (const auto& step : description.steps("pretokenizers")) {
    if (!steps.empty() && steps.back()->writes_bytes()) {
      description.refuse("ByteLevel is supported only as the last step");
    }
    steps.push_back(PreTokenizer::read(step, where));
  }
  return std::make_unique<SequencePreTokenizer>(std::move(steps));
}

}  // namespace

std::unique_ptr<PreTokenizer> PreTokenizer::read(const nlohmann::json& json, const std::string& where) {
  const Description description(json, "pre_tokenizer", where);
  const std::string& type = description.type();
  if (type == "Sequence") return read_sequence(description, where);
  if (type == "ByteLevel") {
    description.allow({"add_prefix_space", "trim_offsets", "use_regex"});
    return std::make_unique<ByteLevelPreTokenizer>(description.flag("add_prefix_space"),
                                                   description.flag("use_regex", true), where);
  }
  if (type == "Split") {
    description.allow({"pattern", "behavior", "invert"});
    return std::make_unique<Split>(description.compile(description.pattern("pattern")), read_behaviour(description),
                                   description.flag("invert"));
  }
  if (type == "Digits") {
    description.allow({"individual_digits"});
    return std::make_unique<Digits>(description.flag("individual_digits"));
  }
  if (type == "Metaspace") return std::make_unique<MetaspaceCutter>(read_metaspace(description));
  description.refuse_type();
}

}  // namespace tessera
