#include "text/byte_pair_model.h"

#include <algorithm>

#include "base/error.h"
#include "base/excerpt.h"
#include "base/hash.h"
#include "text/byte_alphabet.h"
#include "text/unicode.h"

namespace tessera {
namespace {

constexpr std::string_view metaspace_mark = "▁";

bool is_set(const nlohmann::json& value) {
  const bool is_empty_text = value.is_string() && value.get_ref<const std::string&>().empty();
  return !value.is_null() && !is_empty_text && value != 0.0;
}

}  // namespace

BytePairModel::BytePairModel(TokenizerFile& file, bool writes_bytes) : where_(file.where), writes_bytes_(writes_bytes) {
  read_settings(file);
  vocabulary_ = std::move(file.vocabulary);
  if (!unknown_token_.empty()) unknown_ = vocabulary_.find(unknown_token_);
  read_merges(file);
  find_symbols();
  choose_cuts(file);
}

void BytePairModel::read_settings(const TokenizerFile& file) {
  const auto model = file.rest.find("model");
  if (model == file.rest.end() || !model->is_object()) throw DataError("{}: it has no \"model\"", where_);
  if (const auto type = model->find("type"); type != model->end() && *type != "BPE") {
    throw DataError("{}: its model is {}; only BPE is supported", where_, shown(*type));
  }
  for (const auto& setting : model->items()) {
    const std::string& key = setting.key();
    const nlohmann::json& value = setting.value();
    const auto flag = [&] {
      if (!value.is_boolean()) throw DataError("{}: the model's {} is not true or false", where_, key);
      return value.get<bool>();
    };
    if (value.is_null()) continue;
    if (key == "fuse_unk") {
      fuse_unknown_ = flag();
    } else if (key == "byte_fallback") {
      byte_fallback_ = flag();
    } else if (key == "ignore_merges") {
      ignore_merges_ = flag();
    } else if (key == "unk_token") {
      if (!value.is_string()) throw DataError("{}: the model's unk_token is not a string", where_);
      unknown_token_ = value.get<std::string>();
    } else if (key == "dropout" || key == "continuing_subword_prefix" || key == "end_of_word_suffix") {
      if (is_set(value)) throw DataError("{}: the model's {} = {} is not supported", where_, key, shown(value));
    } else if (key != "type") {
      throw DataError("{}: the model's setting \"{}\" is not supported", where_, excerpt(key));
    }
  }
  if (!file.has_vocabulary || !file.has_merges) {
    throw DataError("{}: its model has no \"{}\"", where_, file.has_vocabulary ? "merges" : "vocab");
  }
}

void BytePairModel::read_merges(const TokenizerFile& file) {
  merges_.reserve(file.merges.size());
  for (size_t rank = 0; rank < file.merges.size(); ++rank) {
    const auto& merge = file.merges[rank];
    const auto id_of = [&](std::string_view token) {
      const auto id = vocabulary_.find(token);
      if (!id) {
        throw DataError("{}: merge {}, \"{} {}\", names the token \"{}\", which the vocabulary does not have", where_,
                        rank + 1, excerpt(file.left(merge)), excerpt(file.right(merge)), excerpt(token));
      }
      return *id;
    };
    const int32_t left = id_of(file.left(merge)), right = id_of(file.right(merge));
    merges_.add(left, right, {static_cast<uint32_t>(rank), id_of(file.joined(merge))});
  }
}

void BytePairModel::find_symbols() {
  for (int byte = 0; byte < 256; ++byte) {
    std::string written;
    byte_alphabet::write(std::string(1, static_cast<char>(byte)), written);
    bytes_[byte] = vocabulary_.find(written).value_or(-1);
    fallback_[byte] = byte_fallback_ ? vocabulary_.find(fmt::format("<0x{:02X}>", byte)).value_or(-1) : -1;
  }
  characters_.assign(0x10000, -1);
  for (int32_t id = 0; id < vocabulary_.id_end(); ++id) {
    const std::string_view token = vocabulary_.text(id);
    if (token.empty() || static_cast<size_t>(unicode::bytes_of(token[0])) != token.size()) continue;
    size_t at = 0;
    const char32_t character = unicode::next(token, at);
    if (character < characters_.size()) characters_[character] = id;
  }
}

bool BytePairModel::covers_every_character() const {
  return unknown_ || std::find(fallback_.begin(), fallback_.end(), -1) == fallback_.end();
}

void BytePairModel::choose_cuts(const TokenizerFile& file) {
  // A character that is lost, and one that is a token by itself, see the whole text.
  if (writes_bytes_ || ignore_merges_ || !covers_every_character() || !vocabulary_.find(metaspace_mark)) return;
  cuts_before_mark_ = std::none_of(file.merges.begin(), file.merges.end(), [&](const auto& merge) {
    const std::string_view token = file.joined(merge);
    for (size_t mark = token.find(metaspace_mark, 1); mark != std::string_view::npos;
         mark = token.find(metaspace_mark, mark + 1)) {
      if (!token.substr(0, mark).ends_with(metaspace_mark)) return true;
    }
    return false;
  });
}

void BytePairModel::encode(std::string_view piece, BytePairScratch& scratch, std::vector<WordToken>& tokens) const {
  if (!cuts_before_mark_) return encode_part(piece, 0, scratch, tokens);
  size_t begin = 0;
  for (size_t mark = piece.find(metaspace_mark, 1); mark != std::string_view::npos;
       mark = piece.find(metaspace_mark, mark + 1)) {
    if (piece.substr(0, mark).ends_with(metaspace_mark)) continue;
    encode_part(piece.substr(begin, mark - begin), static_cast<uint32_t>(begin), scratch, tokens);
    begin = mark;
  }
  encode_part(piece.substr(begin), static_cast<uint32_t>(begin), scratch, tokens);
}

void BytePairModel::encode_part(std::string_view part, uint32_t position, BytePairScratch& scratch,
                                std::vector<WordToken>& tokens) const {
  const size_t first = tokens.size();
  if (part.size() > WordCache::longest_word) {
    encode_word(part, scratch, tokens);
  } else {
    const uint64_t hash = xxh3(part.data(), part.size());
    const auto known = scratch.cache.find(part, hash);
    if (known.data()) {
      tokens.insert(tokens.end(), known.begin(), known.end());
    } else {
      encode_word(part, scratch, tokens);
      scratch.cache.insert(part, hash, std::span(tokens).subspan(first));
    }
  }
  for (size_t i = first; position && i < tokens.size(); ++i) {
    tokens[i].begin += position;
    tokens[i].end += position;
  }
}

bool BytePairModel::encode_whole(std::string_view word, BytePairScratch& scratch,
                                 std::vector<WordToken>& tokens) const {
  scratch.written.clear();
  if (writes_bytes_) byte_alphabet::write(word, scratch.written);
  const auto id = vocabulary_.find(writes_bytes_ ? std::string_view(scratch.written) : word);
  if (id) tokens.push_back({*id, 0, static_cast<uint32_t>(word.size())});
  return id.has_value();
}

void BytePairModel::encode_word(std::string_view word, BytePairScratch& scratch, std::vector<WordToken>& tokens) const {
  if (ignore_merges_ && encode_whole(word, scratch, tokens)) return;
  auto& symbols = scratch.symbols;
  auto& sources = scratch.sources;  // the byte of the word that each byte the model sees stands for; empty: the same
  symbols.clear();
  sources.clear();
  if (!writes_bytes_) {
    character_symbols(word, symbols);
  } else if (!byte_symbols(word, symbols)) {
    scratch.written.clear();
    byte_alphabet::write(word, scratch.written);
    character_symbols(scratch.written, symbols);
    for (uint32_t at = 0; at < word.size(); ++at) {
      sources.insert(sources.end(), byte_alphabet::length(static_cast<unsigned char>(word[at])), at);
    }
  }
  merge_symbols(merges_, scratch);
  uint32_t begin = 0;
  for (const Symbol& symbol : symbols) {
    const uint32_t end = begin + symbol.length;
    tokens.push_back(sources.empty() ? WordToken{symbol.id, begin, end}
                                     : WordToken{symbol.id, sources[begin], sources[end - 1] + 1});
    begin = end;
  }
}

/// One symbol a byte; false where a byte has no token.
bool BytePairModel::byte_symbols(std::string_view word, std::vector<Symbol>& symbols) const {
  for (const char byte : word) {
    const int32_t id = bytes_[static_cast<unsigned char>(byte)];
    if (id < 0) {
      symbols.clear();
      return false;
    }
    symbols.push_back({id, 1});
  }
  return true;
}

int32_t BytePairModel::symbol_of(std::string_view character) const {
  size_t at = 0;
  const char32_t code = unicode::next(character, at);
  return code < characters_.size() ? characters_[code] : vocabulary_.find(character).value_or(-1);
}

/// One symbol a character; one without a token becomes its bytes (byte_fallback), or the unknown token, or nothing at
/// all, in which case everything behind it seems to lie further left.  That is how the tokenizers library counts.
void BytePairModel::character_symbols(std::string_view text, std::vector<Symbol>& symbols) const {
  uint32_t unknown_length = 0;
  const auto add_unknown = [&] {
    if (unknown_length) symbols.push_back({*unknown_, unknown_length});
    unknown_length = 0;
  };
  for (size_t at = 0; at < text.size();) {
    const std::string_view character = text.substr(at, unicode::bytes_of(text[at]));
    const auto length = static_cast<uint32_t>(character.size());
    at += length;
    if (const int32_t id = symbol_of(character); id >= 0) {
      add_unknown();
      symbols.push_back({id, length});
      continue;
    }
    const auto has_fallback = [&](char byte) { return fallback_[static_cast<unsigned char>(byte)] >= 0; };
    if (std::all_of(character.begin(), character.end(), has_fallback)) {
      for (const char byte : character) symbols.push_back({fallback_[static_cast<unsigned char>(byte)], 1});
      continue;
    }
    if (unknown_token_.empty()) continue;
    if (!unknown_) throw DataError("{}: its unk_token \"{}\" is not in its vocabulary", where_, unknown_token_);
    if (!fuse_unknown_) add_unknown();
    unknown_length += length;
  }
  add_unknown();
}

}  // namespace tessera
