#pragma once
#include <array>
#include <string>

#include "fixture.h"

namespace tessera::test {

constexpr std::array<const char*, 4> special_names = {"<s>", "</s>", "<|im_start|>", "<|im_end|>"};  // ids 256 and up
constexpr int64_t byte_vocab_size = 260;

/// The character that byte-level tokenizers write for a byte (the GPT-2 alphabet), as JSON text.
inline std::string byte_character(int byte) {
  int point = byte, unprintable = 0;
  const auto printable = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
  for (int b = 0; b < byte; ++b) unprintable += !printable(b);
  if (!printable(byte)) point = 256 + unprintable;
  if (point == '"' || point == '\\') return std::string("\\") + static_cast<char>(point);
  if (point < 128) return std::string(1, static_cast<char>(point));
  return {static_cast<char>(0xC0 | (point >> 6)), static_cast<char>(0x80 | (point & 0x3F))};
}

/// A tokenizer whose tokens are the bytes of the text, id = byte, and four special tokens; its post-processor puts <s>
/// first.
inline Tokenizer byte_tokenizer(const TemporaryFolder& folder, const std::string& chat_template = "") {
  std::string vocabulary, added;
  for (int byte = 0; byte < 256; ++byte)
    vocabulary += "\"" + byte_character(byte) + "\": " + std::to_string(byte) + ", ";
  for (size_t i = 0; i < special_names.size(); ++i) {
    const std::string id = std::to_string(256 + i), separator = i == 0 ? "" : ", ";
    vocabulary += separator + "\"" + special_names[i] + "\": " + id;
    added += separator + R"({"id": )" + id + R"(, "content": ")" + special_names[i] +
             R"(", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})";
  }
  folder.write("tokenizer/tokenizer.json",
               R"({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [)" + added +
                   R"(], "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
    "post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [256], "tokens": ["<s>"]}}},
    "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
      "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": {)" +
                   vocabulary + R"(}, "merges": []}})");
  const std::string template_key = chat_template.empty() ? "" : R"(, "chat_template": ")" + chat_template + "\"";
  folder.write("tokenizer/tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": "</s>")" + template_key + "}");
  return Tokenizer::load(folder / "tokenizer");
}

/// A sample of the byte tokenizer as text, what carries loss in [brackets].
inline std::string spelled(const StoredSample& sample) {
  std::string text;
  bool trained = false;
  for (size_t i = 0; i < sample.ids.size(); ++i) {
    const int32_t id = sample.ids[i];
    const bool carries_loss = sample.labels[i] == id;
    if (carries_loss != trained) text += carries_loss ? "[" : "]";
    trained = carries_loss;
    text += id < 256 ? std::string(1, static_cast<char>(id)) : special_names.at(static_cast<size_t>(id - 256));
  }
  return trained ? text + "]" : text;
}

}  // namespace tessera::test
