#include "text/tokenizer.h"

#include <algorithm>
#include <mutex>

#include "base/error.h"
#include "base/excerpt.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "text/added_tokens.h"
#include "text/byte_alphabet.h"
#include "text/byte_pair_model.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_file.h"
#include "text/tokenizer_settings.h"
#include "text/unicode.h"

namespace tessera {
namespace {

/// What one call of encode() works with.  Kept from call to call for its cache of words.
struct Scratch {
  RegexScratch regex;
  BytePairScratch model;
  Pieces pieces;
  std::vector<WordToken> tokens;
};

/// Scratches that no call is using.  A call takes one and brings it back, so threads never share one.
class ScratchPool {
 public:
  class Lease {
   public:
    explicit Lease(ScratchPool& pool) : pool_(pool), scratch_(pool.take()) {}
    ~Lease() { pool_.give_back(std::move(scratch_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Scratch& operator*() { return *scratch_; }

   private:
    ScratchPool& pool_;
    std::unique_ptr<Scratch> scratch_;
  };

 private:
  std::unique_ptr<Scratch> take() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        auto scratch = std::move(free_.back());
        free_.pop_back();
        return scratch;
      }
    }
    return std::make_unique<Scratch>();
  }
  void give_back(std::unique_ptr<Scratch> scratch) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(scratch));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> free_;
};

nlohmann::json part(const TokenizerFile& file, const char* name) {
  const auto found = file.rest.find(name);
  return found == file.rest.end() ? nlohmann::json() : *found;
}

/// A batch of one text is its own longest text, so that only padding to a fixed length changes anything.
bool pads(const nlohmann::json& padding) {
  const auto strategy = padding.find("strategy"), multiple = padding.find("pad_to_multiple_of");
  return strategy == padding.end() || *strategy != "BatchLongest" ||
         (multiple != padding.end() && !multiple->is_null());
}

bool goes_before(SpecialTokens special) {
  return special == SpecialTokens::add || special == SpecialTokens::add_before;
}
bool goes_after(SpecialTokens special) { return special == SpecialTokens::add || special == SpecialTokens::add_after; }

/// Leading and trailing white space of a token, in characters.
struct Spaces {
  int64_t leading = 0, trailing = 0;
};
Spaces count_spaces(std::string_view token) {
  Spaces spaces;
  bool only_spaces = true;
  for (size_t at = 0; at < token.size();) {
    const char32_t character = unicode::next(token, at);
    const bool space = character == byte_alphabet::space || unicode::is_white_space(character);
    only_spaces = only_spaces && space;
    if (only_spaces) ++spaces.leading;
    spaces.trailing = space ? spaces.trailing + 1 : 0;
  }
  return spaces;
}

}  // namespace

struct Tokenizer::State {
  State(TokenizerFile& file, const TokenizerSettings& settings);

  void check_version(const TokenizerFile& file) const;
  void cut(std::string_view text, Scratch& scratch) const;
  /// Calls `found(id, piece, begin, end)` for each token of the text in turn.
  template <typename Found>
  void each_token(std::string_view text, Scratch& scratch, Found found) const;
  void post_process(std::string_view text, SpecialTokens special, Encoding& encoding,
                    const std::vector<std::pair<size_t, Spaces>>& added_spaces) const;
  void trim(std::string_view text, bool keeps_prefix, Encoding& encoding,
            const std::vector<std::pair<size_t, Spaces>>& added_spaces) const;
  std::string_view text_of(int32_t id) const;
  std::string_view decoded_text_of(int32_t id) const;
  std::optional<int32_t> find(std::string_view token) const;
  int32_t required(const std::string& token, const char* name) const;

  std::string where;
  std::unique_ptr<Normalizer> normalizer;
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  std::unique_ptr<Decoder> decoder;
  PostProcessor post_processor;
  std::unique_ptr<BytePairModel> model;
  std::unique_ptr<AddedTokens> added;
  std::optional<int32_t> bos, eos;
  std::string chat_template, fingerprint;
  mutable ScratchPool scratches;
};

Tokenizer::State::State(TokenizerFile& file, const TokenizerSettings& settings) : where(file.where) {
  check_version(file);
  if (const auto json = part(file, "normalizer"); !json.is_null()) normalizer = Normalizer::read(json, where);
  if (const auto json = part(file, "pre_tokenizer"); !json.is_null()) pre_tokenizer = PreTokenizer::read(json, where);
  if (const auto json = part(file, "decoder"); !json.is_null()) decoder = Decoder::read(json, where);
  post_processor = PostProcessor::read(part(file, "post_processor"), where);
  model = std::make_unique<BytePairModel>(file, pre_tokenizer && pre_tokenizer->writes_bytes());
  added = std::make_unique<AddedTokens>(part(file, "added_tokens"), model->vocabulary(), normalizer.get(), where);
  if (settings.bos_token) bos = required(*settings.bos_token, "bos_token");
  if (settings.eos_token) eos = required(*settings.eos_token, "eos_token");
  chat_template = settings.chat_template;
  Hasher hasher;
  hasher.update_field(file.hash);
  hasher.update_field(settings.bos_token.value_or(""));
  hasher.update_field(settings.eos_token.value_or(""));
  fingerprint = hasher.hex();
}

void Tokenizer::State::check_version(const TokenizerFile& file) const {
  if (const auto version = part(file, "version"); !version.is_null() && version != "1.0") {
    throw DataError("{}: its version is {}; only 1.0 is supported", where, shown(version));
  }
  if (const auto truncation = part(file, "truncation"); !truncation.is_null()) {
    throw DataError(
        "{}: it truncates every text: \"truncation\": {}.  Set it to null; data.sequence_len limits the length", where,
        shown(truncation));
  }
  if (const auto padding = part(file, "padding"); !padding.is_null() && pads(padding)) {
    throw DataError("{}: it pads every text: \"padding\": {}.  Set it to null", where, shown(padding));
  }
}

std::optional<int32_t> Tokenizer::State::find(std::string_view token) const {
  const auto id = added->find(token);
  return id ? id : model->vocabulary().find(token);
}

int32_t Tokenizer::State::required(const std::string& token, const char* name) const {
  const auto id = find(token);
  if (!id)
    throw DataError("{}: it has no token \"{}\", which tokenizer_config.json names as {}", where, excerpt(token), name);
  return *id;
}

std::string_view Tokenizer::State::text_of(int32_t id) const {
  const AddedToken* token = added->token(id);
  return token ? std::string_view(token->content) : model->vocabulary().text(id);
}

std::string_view Tokenizer::State::decoded_text_of(int32_t id) const {
  const AddedToken* token = added->token(id);
  return token ? std::string_view(token->matched) : model->vocabulary().text(id);
}

void Tokenizer::State::cut(std::string_view text, Scratch& scratch) const {
  if (text.size() > UINT32_MAX / 4) throw DataError("a text of {} bytes is too long to encode at once", text.size());
  added->cut(text, normalizer.get(), scratch.regex, scratch.pieces);
  if (pre_tokenizer) pre_tokenizer->apply(scratch.pieces, scratch.regex);
}

template <typename Found>
void Tokenizer::State::each_token(std::string_view text, Scratch& scratch, Found found) const {
  cut(text, scratch);
  for (const Piece& piece : scratch.pieces.list) {
    if (piece.token != Piece::no_token) {
      found(piece.token, piece, 0, piece.end - piece.begin);
      continue;
    }
    scratch.tokens.clear();
    model->encode(scratch.pieces.text(piece), scratch.model, scratch.tokens);
    for (const WordToken& token : scratch.tokens) found(token.id, piece, token.begin, token.end);
  }
  scratch.pieces.clear();
}

void Tokenizer::State::trim(std::string_view text, bool keeps_prefix, Encoding& encoding,
                            const std::vector<std::pair<size_t, Spaces>>& added_spaces) const {
  auto next_added = added_spaces.begin();
  for (size_t i = 0; i < encoding.ids.size(); ++i) {
    const bool is_added = next_added != added_spaces.end() && next_added->first == i;
    Spaces spaces = is_added ? (next_added++)->second : count_spaces(text_of(encoding.ids[i]));
    auto& [begin, end] = encoding.offsets[i];
    // A single space at the start of the text may be the one that was put there, and stands for no space to remove.
    if ((i == 0 || begin == 0) && keeps_prefix && spaces.leading == 1) spaces.leading = 0;
    for (; spaces.leading > 0 && begin < end; --spaces.leading) begin += unicode::bytes_of(text[begin]);
    for (; spaces.trailing > 0 && end > begin; --spaces.trailing) {
      while (unicode::continues(text[--end])) {
      }
    }
  }
}

void Tokenizer::State::post_process(std::string_view text, SpecialTokens special, Encoding& encoding,
                                    const std::vector<std::pair<size_t, Spaces>>& added_spaces) const {
  auto next_template = post_processor.templates.begin();
  for (const auto step : post_processor.steps) {
    if (step != PostProcessor::Step::special_tokens) {
      trim(text, step == PostProcessor::Step::trim_offsets_keeping_prefix, encoding, added_spaces);
      continue;
    }
    const PostProcessor::Template& ids = *next_template++;
    if (goes_before(special)) {
      encoding.ids.insert(encoding.ids.begin(), ids.before.begin(), ids.before.end());
      encoding.offsets.insert(encoding.offsets.begin(), ids.before.size(), {0, 0});
    }
    if (goes_after(special)) {
      encoding.ids.insert(encoding.ids.end(), ids.after.begin(), ids.after.end());
      encoding.offsets.insert(encoding.offsets.end(), ids.after.size(), {0, 0});
    }
  }
}

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Tokenizer Tokenizer::load(const std::filesystem::path& directory) {
  if (!is_folder(directory))
    throw JobError("{}: no such directory; expected one with a tokenizer.json ([model] tokenizer)", directory.string());
  TokenizerFile file = TokenizerFile::read(directory / "tokenizer.json");
  const TokenizerSettings settings = TokenizerSettings::read(directory);
  return Tokenizer(std::make_unique<State>(file, settings));
}

Encoding Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  if (!utf8::is_valid(text)) {
    std::vector<uint32_t> source;
    const std::string whole = unicode::replace_broken(text, &source);
    Encoding encoding = encode(whole, special);
    for (auto& [begin, end] : encoding.offsets) begin = source[begin], end = source[end];
    return encoding;
  }
  ScratchPool::Lease lease(state_->scratches);
  Scratch& scratch = *lease;
  const bool trims = state_->post_processor.trims();
  Encoding encoding;
  encoding.ids.reserve(text.size() / 4 + 1);
  encoding.offsets.reserve(text.size() / 4 + 1);
  std::vector<std::pair<size_t, Spaces>> added_spaces;
  state_->each_token(text, scratch, [&](int32_t id, const Piece& piece, size_t begin, size_t end) {
    if (trims && piece.token != Piece::no_token) {
      added_spaces.emplace_back(encoding.ids.size(), count_spaces(scratch.pieces.text(piece)));
    }
    const Span span = scratch.pieces.source(piece, begin, end);
    encoding.ids.push_back(id);
    encoding.offsets.emplace_back(span.begin, span.end);
  });
  state_->post_process(text, special, encoding, added_spaces);
  return encoding;
}

std::vector<int32_t> Tokenizer::ids(std::string_view text, SpecialTokens special) const {
  if (!utf8::is_valid(text)) return ids(unicode::replace_broken(text), special);
  ScratchPool::Lease lease(state_->scratches);
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 1);
  state_->each_token(text, *lease, [&](int32_t id, const Piece&, size_t, size_t) { ids.push_back(id); });
  for (const auto& around : state_->post_processor.templates) {
    if (goes_before(special)) ids.insert(ids.begin(), around.before.begin(), around.before.end());
    if (goes_after(special)) ids.insert(ids.end(), around.after.begin(), around.after.end());
  }
  return ids;
}

std::string Tokenizer::decode(const std::vector<int32_t>& ids, SpecialDecode special) const {
  std::vector<std::string> texts;
  for (const int32_t id : ids) {
    if (!state_->added->token(id) && !state_->model->vocabulary().has(id)) continue;
    std::string text(state_->decoded_text_of(id));
    // A special token that the normalizer changed is not recognised any more: so it is in the tokenizers library.
    if (special == SpecialDecode::skip && state_->added->is_special(text)) continue;
    texts.push_back(std::move(text));
  }
  std::string all;
  if (state_->decoder) {
    state_->decoder->apply(texts);
    for (const auto& text : texts) all += text;
    return all;
  }
  for (const auto& text : texts) all += (all.empty() && &text == &texts.front() ? "" : " ") + text;
  return all;
}

int64_t Tokenizer::vocab_size() const {
  return std::max(state_->model->vocabulary().id_end(), state_->added->id_end());
}
std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const { return state_->find(token); }
std::string Tokenizer::id_to_token(int32_t id) const { return std::string(state_->text_of(id)); }
bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* token = state_->added->token(id);
  return token && state_->added->is_special(token->content);
}
std::optional<int32_t> Tokenizer::bos_id() const { return state_->bos; }
std::optional<int32_t> Tokenizer::eos_id() const { return state_->eos; }
std::string Tokenizer::chat_template() const { return state_->chat_template; }
const std::string& Tokenizer::fingerprint() const { return state_->fingerprint; }

}  // namespace tessera
