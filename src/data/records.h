#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/bytes.h"
#include "job/job.h"

namespace tessera {

/// A long document is read in parts, one after another.
struct DocumentPart {
  bool begins = true, ends = true;
};

/// One raw entry of a data file.
struct Record {
  enum class Kind { json, document };
  Kind kind = Kind::json;
  int32_t file = 0;         ///< index into the files of the data set
  int64_t line = 1;         ///< where it begins, from 1
  std::string text;         ///< a JSON value, or a plain document
  DocumentPart part;        ///< of the document
  std::string broken = {};  ///< why it cannot be read; empty where it can
};

/// Limits of reading: a compressed file can hold a thousand times its size.
struct RecordLimits {
  int64_t record_bytes = 64 << 20;         ///< of a JSON value; a longer one is a DataError
  int64_t document_part_bytes = 16 << 20;  ///< a longer document comes in parts
  TextUnit text_unit = TextUnit::file;     ///< of a .txt file
};

/// Progress of reading a file.
struct ReadingState {
  const Path& file;
  int64_t line;    ///< that is being read
  int64_t bytes;   ///< unpacked so far
  int64_t packed;  ///< of the file itself so far
};
using ReadingObserver = std::function<void(const ReadingState&)>;

/// "dataset.NAME" or "eval_dataset.NAME", for messages.
using SectionName = std::string;

/// The files that `path` of a data set names, sorted: the file itself, all data files below a directory (hidden ones
/// and unknown endings left out; .txt only for type = completion), or the matches of a glob.  Throws JobError if there
/// is none, or if one cannot be read: another ending, or a .txt file for another type.
std::vector<Path> find_data_files(const DatasetSettings& dataset, const SectionName& section);

/// The records of several files, one after the other.
///   .jsonl   a JSON value a line; blank lines are passed over
///   .json    an array of JSON values; or one value after another, each on a line of its own or on several
///   .csv .tsv  rows of fields with commas or tabs between them, as JSON objects by the names in the first row; fields
///              in double quotes may hold separators, line ends and doubled quotes; an empty field is null
///   .txt     each line that is not empty is a document, or the whole file is one: then a long one is cut into parts
///            where a line ends, else before a space, else between characters
/// Streams: memory holds a record, never a file. Records are not validated; the parser does that. `observer` is called
/// for every block read, on the reading thread.
class RecordStream {
 public:
  explicit RecordStream(std::vector<Path> files, RecordLimits limits = {}, ReadingObserver observer = {});
  ~RecordStream();
  bool next(Record& record);

 private:
  class Source;
  class JsonLines;
  class JsonArray;
  class JsonValues;
  class Document;
  class TextLines;
  class Table;
  std::unique_ptr<Source> open(const Path& path) const;

  std::vector<Path> files_;
  RecordLimits limits_;
  ReadingObserver observer_;
  size_t file_ = 0;
  std::unique_ptr<Source> source_;
};

}  // namespace tessera
