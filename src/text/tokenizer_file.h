#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/vocabulary.h"

namespace tessera {

/// A tokenizer.json as read.  Its two large parts, the vocabulary and the merges, go straight into tables; everything
/// else is in `rest`.
struct TokenizerFile {
  struct MergeText {
    uint32_t begin, middle, end;  ///< bytes of merge_texts: left [begin, middle), right [middle, end)
  };

  std::string where;  ///< the path, for errors
  nlohmann::json rest;
  Vocabulary vocabulary;
  std::string merge_texts;
  std::vector<MergeText> merges;  ///< by rank
  bool has_vocabulary = false, has_merges = false;
  std::string hash;  ///< of the file's bytes

  std::string_view left(const MergeText& merge) const {
    return std::string_view(merge_texts).substr(merge.begin, merge.middle - merge.begin);
  }
  std::string_view right(const MergeText& merge) const {
    return std::string_view(merge_texts).substr(merge.middle, merge.end - merge.middle);
  }
  std::string_view joined(const MergeText& merge) const {
    return std::string_view(merge_texts).substr(merge.begin, merge.end - merge.begin);
  }

  /// Throws DataError if the file is missing, is not JSON, or has an invalid vocabulary or invalid merges.
  static TokenizerFile read(const std::filesystem::path& path);
};

}  // namespace tessera
