#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tessera {

/// What a text became: ids, and for each the bytes [begin, end) of the text that it covers (as in Hugging Face: tokens
/// that share a character share its whole range).
struct Encoding {
  std::vector<int32_t> ids;
  std::vector<std::pair<int64_t, int64_t>> offsets;
};

/// Does the post-processor add its BOS and the like?  Before or after alone: to the first or last part of a long text.
enum class SpecialTokens { leave_out, add, add_before, add_after };
enum class SpecialDecode { keep, skip };  ///< do special tokens appear in decoded text?

/// A tokenizer.json, exactly as the Hugging Face tokenizers library reads it.  Immutable after loading: any number of
/// threads may encode at once.  Anything unsupported in the file is a DataError that names it.
class Tokenizer {
 public:
  /// `directory` holds tokenizer.json, and tokenizer_config.json where there is one.  Throws DataError; JobError if the
  /// directory does not exist.
  static Tokenizer load(const std::filesystem::path& directory);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// `text` is UTF-8 (broken bytes become U+FFFD).  Special tokens written in the text become their ids.
  Encoding encode(std::string_view text, SpecialTokens special) const;
  std::vector<int32_t> ids(std::string_view text, SpecialTokens special = SpecialTokens::leave_out) const;
  std::string decode(const std::vector<int32_t>& ids, SpecialDecode special) const;

  int64_t vocab_size() const;  ///< the highest id + 1, added tokens included
  std::optional<int32_t> token_to_id(std::string_view token) const;
  std::string id_to_token(int32_t id) const;  ///< the token as the file writes it; empty for an id that has none
  bool is_special(int32_t id) const;

  // From tokenizer_config.json / special_tokens_map.json.
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  std::string chat_template() const;  ///< the Jinja text; empty where there is none

  /// A hash of everything that shapes encodings, for the prepared file's key.
  const std::string& fingerprint() const;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tessera
