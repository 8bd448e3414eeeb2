// tokenizer.json, tokenizer_config.json and a text to be encoded, with zero bytes between them.
#include "text/tokenizer.h"

#include <cstdlib>

#include "support/fuzz.h"
#include "support/mutators.h"
#include "text/chat_template.h"

using namespace tessera;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void use(const Tokenizer& tokenizer, std::string_view text) {
  const Encoding encoding = tokenizer.encode(text, SpecialTokens::add);
  require(encoding.ids.size() == encoding.offsets.size());
  for (const auto& [begin, end] : encoding.offsets)
    require(0 <= begin && begin <= end && end <= static_cast<int64_t>(text.size()));
  require(tokenizer.ids(text, SpecialTokens::add) == encoding.ids);
  tokenizer.decode(encoding.ids, SpecialDecode::skip);
}

}  // namespace

/// Changes one of the three parts.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return fuzz::mutate(data, size, max_size, seed, [&](std::string_view text) {
    std::string tokenizer(fuzz::take_part(text)), settings(fuzz::take_part(text)), rest(text);
    const unsigned draw = seed / 4 % 8;
    std::string& part = draw == 0 ? settings : draw == 1 ? rest : tokenizer;
    part = fuzz::changed_json(part, seed);
    return tokenizer + '\0' + settings + '\0' + rest;
  });
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest = fuzz::text_of(data, size);
  fuzz::put("tokenizer.json", fuzz::take_part(rest));
  fuzz::put("tokenizer_config.json", fuzz::take_part(rest));
  fuzz::reads(fuzz::folder().native(), [&] {
    const Tokenizer tokenizer = Tokenizer::load(fuzz::folder());
    use(tokenizer, rest);
    const std::string jinja = tokenizer.chat_template();
    fuzz::reads("", [&] {  // whoever asks for the template says whose it is
      const ChatTemplate chat = ChatTemplate::recognise(jinja);
      for (const ChatPiece& piece : chat.render({{"user", std::string(rest)}, {"assistant", "yes"}}, true))
        tokenizer.ids(piece.text);
    });
  });
  return 0;
}
