#include "text/added_tokens.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/excerpt.h"
#include "base/json.h"
#include "text/unicode.h"

namespace tessera {
namespace {

/// The start of the white space that ends at `end`.
size_t spaces_begin(std::string_view text, size_t end, size_t limit) {
  while (end > limit) {
    size_t before = end - 1;
    while (before > limit && unicode::continues(text[before])) --before;
    size_t at = before;
    if (!unicode::is_white_space(unicode::next(text, at))) break;
    end = before;
  }
  return end;
}

size_t spaces_end(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    size_t at = begin;
    if (!unicode::is_white_space(unicode::next(text, at))) break;
    begin = at;
  }
  return begin;
}

/// Looking for a token at every place of a text takes as long as the token is.
constexpr size_t longest_token = 4096;

/// A token of white space that takes the white space on its right overlaps the next ones, as in the tokenizers library.
constexpr size_t most_overlap = 16;

int32_t read_id(const nlohmann::json& token, const std::string& where) {
  const auto id = whole_number(token.at("id"));
  if (!id || !std::in_range<int32_t>(*id))
    throw DataError("{}: an entry of added_tokens has an invalid id: {}", where, shown(token));
  return static_cast<int32_t>(*id);
}

AddedToken read_token(const nlohmann::json& json, const std::string& where) {
  AddedToken token;
  try {
    token = {json.at("content").get<std::string>(), read_id(json, where),          json.at("single_word").get<bool>(),
             json.at("lstrip").get<bool>(),         json.at("rstrip").get<bool>(), json.at("normalized").get<bool>(),
             json.at("special").get<bool>()};
  } catch (const nlohmann::json::exception& error) {
    throw DataError("{}: an entry of added_tokens is incomplete: {} in {}", where, error.what(), shown(json));
  }
  if (token.content.empty()) throw DataError("{}: an entry of added_tokens is empty: {}", where, shown(json));
  if (token.content.size() > longest_token)
    throw DataError("{}: the added token {} has {} bytes; the limit is {}", where, excerpt(token.content),
                    token.content.size(), longest_token);
  return token;
}

}  // namespace

void TextSet::add(std::string_view text, size_t value) {
  begins_[static_cast<unsigned char>(text[0])] = true;
  uint32_t node = 0;
  for (const char byte : text) {
    auto& children = nodes_[node].children;
    const auto child =
        std::find_if(children.begin(), children.end(), [byte](const auto& entry) { return entry.first == byte; });
    if (child != children.end()) {
      node = child->second;
    } else {
      const auto fresh = static_cast<uint32_t>(nodes_.size());
      children.emplace_back(byte, fresh);
      nodes_.emplace_back();
      node = fresh;
    }
  }
  if (!nodes_[node].value) nodes_[node].value = value;
}

std::optional<TextSet::Found> TextSet::find(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!begins_[static_cast<unsigned char>(text[begin])]) continue;
    std::optional<Found> longest;
    uint32_t node = 0;
    for (size_t at = begin; at < text.size(); ++at) {
      const auto& children = nodes_[node].children;
      const auto child = std::find_if(children.begin(), children.end(),
                                      [byte = text[at]](const auto& entry) { return entry.first == byte; });
      if (child == children.end()) break;
      node = child->second;
      if (nodes_[node].value) longest = Found{begin, at + 1, *nodes_[node].value};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

AddedTokens::AddedTokens(const nlohmann::json& list, const Vocabulary& vocabulary, const Normalizer* normalizer,
                         const std::string& where)
    : where_(where) {
  if (list.is_null()) return;
  if (!list.is_array()) throw DataError("{}: its added_tokens is not a list", where);
  RegexScratch scratch;
  int64_t next_id = vocabulary.size();
  for (const auto& json : list) {
    AddedToken token = read_token(json, where);
    const auto known = ids_.find(token.content);
    const int64_t id = known != ids_.end() ? known->second : vocabulary.find(token.content).value_or(next_id);
    if (id != token.id) {
      throw DataError("{}: the added token {} has the id {}, but its position makes it {}", where,
                      excerpt(token.content), token.id, id);
    }
    next_id = std::max(next_id, id + 1);
    ids_[token.content] = token.id;
    if (token.special) specials_.insert(token.content);
    token.matched = token.content;
    if (token.normalized && normalizer) {
      AlignedText aligned(token.content, 0);
      normalizer->apply(aligned, scratch);
      token.matched = aligned.text();
    }
    if (!token.matched.empty()) (token.normalized ? normalized_ : raw_).add(token.matched, tokens_.size());
    if (token.single_word && !word_character_) {
      word_character_ = Regex::compile(R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}])", where);
    }
    by_id_[token.id] = tokens_.size();
    tokens_.push_back(std::move(token));
  }
}

std::optional<int32_t> AddedTokens::find(std::string_view content) const {
  const auto found = ids_.find(std::string(content));
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const AddedToken* AddedTokens::token(int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

int32_t AddedTokens::id_end() const {
  int32_t end = 0;
  for (const AddedToken& token : tokens_) end = std::max(end, token.id + 1);
  return end;
}

bool AddedTokens::stands_alone(std::string_view text, size_t begin, size_t end, RegexScratch& scratch) const {
  const auto is_word = [&](size_t first, size_t last) {
    std::vector<Match> parts;
    word_character_->cut(text.substr(first, last - first), scratch, parts);
    return parts.front().matched;
  };
  size_t before = begin;
  while (before > 0 && unicode::continues(text[--before])) {
  }
  if (begin > 0 && is_word(before, begin)) return false;
  return end == text.size() || !is_word(end, end + unicode::bytes_of(text[end]));
}

void AddedTokens::cut_out(const TextSet& set, Pieces& pieces, const Piece& piece, RegexScratch& scratch) const {
  const std::string_view text = pieces.text(piece);
  size_t done = 0, spaces_until = 0;  // from the last match to spaces_until there is white space alone
  size_t taken = 0;                   // bytes of all tokens; more than the text has where they overlap
  for (size_t from = 0; const auto found = set.find(text, from);) {
    const AddedToken& token = tokens_[found->value];
    from = found->end;
    if (token.single_word && !stands_alone(text, found->begin, found->end, scratch)) continue;
    const size_t begin = token.lstrip ? std::max(done, spaces_begin(text, found->begin, done)) : found->begin;
    if (token.rstrip && found->end >= spaces_until) spaces_until = spaces_end(text, found->end);
    const size_t end = token.rstrip ? spaces_until : found->end;
    taken += end - std::min(begin, end);
    if (taken > most_overlap * (text.size() + 1024))
      throw DataError(
          "{}: the added token {} is white space with rstrip, which matches without end in a text of {} bytes", where_,
          shown(token.content), text.size());
    if (done < begin) pieces.keep(piece, done, begin);
    if (begin < end) {
      pieces.keep(piece, begin, end);
      pieces.next.back().token = token.id;
    }
    done = end;
  }
  if (done != text.size()) pieces.keep(piece, done, text.size());
}

void AddedTokens::cut(std::string_view text, const Normalizer* normalizer, RegexScratch& scratch,
                      Pieces& pieces) const {
  pieces.clear();
  if (text.empty()) return;
  pieces.list.push_back(
      {pieces.add_buffer(AlignedText(text, 0)), 0, static_cast<uint32_t>(text.size()), Piece::no_token});
  if (!raw_.empty()) pieces.for_each([&](const Piece& piece) { cut_out(raw_, pieces, piece, scratch); });
  if (!normalizer && normalized_.empty()) return;
  pieces.for_each([&](Piece piece) {
    if (normalizer) {
      AlignedText part = pieces.buffers[piece.buffer].slice(piece.begin, piece.end);
      normalizer->apply(part, scratch);
      if (part.text().empty()) return;
      const auto size = static_cast<uint32_t>(part.text().size());
      piece = {pieces.add_buffer(std::move(part)), 0, size, Piece::no_token};
    }
    cut_out(normalized_, pieces, piece, scratch);
  });
}

}  // namespace tessera
