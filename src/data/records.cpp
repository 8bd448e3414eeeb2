#include "data/records.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/number.h"

namespace tessera {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

/// The characters of a file one at a time, and the line that the next one is in.
class Characters {
 public:
  explicit Characters(const Path& path) : bytes_(open_bytes(path)), block_(1 << 17) {
    fill();
    if (std::string_view(block_.data(), size_).starts_with(byte_order_mark)) at_ = byte_order_mark.size();
  }

  bool at_end() { return at_ == size_ && !fill(); }
  char peek() const { return block_[at_]; }
  int64_t line() const { return line_; }

  char take() {
    const char c = block_[at_++];
    line_ += c == '\n';
    return c;
  }

  /// The rest of the line, without its end.
  void take_line(std::string& line) {
    line.clear();
    while (!at_end()) {
      const char* begin = block_.data() + at_;
      const void* found = std::memchr(begin, '\n', size_ - at_);
      const char* end = found ? static_cast<const char*>(found) : block_.data() + size_;
      line.append(begin, end);
      at_ += static_cast<size_t>(end - begin);
      if (!found) continue;
      take();
      break;
    }
    if (line.ends_with('\r')) line.pop_back();
  }

  void skip_space() {
    while (!at_end() && std::strchr(" \t\r\n", peek()) && peek() != '\0') take();
  }

 private:
  bool fill() {
    at_ = 0;
    size_ = bytes_->read(block_.data(), block_.size());
    return size_ > 0;
  }

  std::unique_ptr<ByteReader> bytes_;
  std::vector<char> block_;
  size_t at_ = 0;
  size_t size_ = 0;
  int64_t line_ = 1;
};

/// Whether a place in a JSON text is inside brackets or a string.
class Nesting {
 public:
  void take(char c) {
    if (escaped_) {
      escaped_ = false;
    } else if (in_string_) {
      escaped_ = c == '\\';
      in_string_ = c != '"';
    } else {
      in_string_ = c == '"';
      depth_ += (c == '{' || c == '[') - (c == '}' || c == ']');
    }
  }
  bool at_top() const { return depth_ <= 0 && !in_string_; }

 private:
  int64_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
};

bool first_line_is_whole(const Path& path) {
  Characters characters(path);
  characters.skip_space();
  std::string line;
  characters.take_line(line);
  Nesting nesting;
  for (const char c : line) nesting.take(c);
  return nesting.at_top();
}

[[noreturn]] void does_not_end(const Path& path, const Record& record, const char* what) {
  throw DataError(
      "{}:{}: the {} that begins here does not end: the file is cut short, or a bracket or quotation mark is missing",
      path.string(), record.line, what);
}

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

bool has_ending(const Path& path, std::string_view ending) {
  const std::string name = path.filename().string();
  return name.ends_with(ending) || name.ends_with(std::string(ending) + ".gz") ||
         name.ends_with(std::string(ending) + ".zst");
}

}  // namespace

class RecordStream::Source {
 public:
  virtual ~Source() = default;
  virtual bool next(Record& record) = 0;
};

class RecordStream::JsonLines : public Source {
 public:
  explicit JsonLines(Characters characters) : characters_(std::move(characters)) {}

  bool next(Record& record) override {
    record.kind = Record::Kind::json;
    while (!characters_.at_end()) {
      record.line = characters_.line();
      characters_.take_line(record.text);
      if (!is_blank(record.text)) return true;
    }
    return false;
  }

 private:
  Characters characters_;
};

/// Cuts an array into its elements by counting brackets outside strings.
class RecordStream::JsonArray : public Source {
 public:
  JsonArray(Path path, Characters characters) : path_(std::move(path)), characters_(std::move(characters)) {
    characters_.take();  // the opening bracket
  }

  bool next(Record& record) override {
    if (ended_) return false;
    record.kind = Record::Kind::json;
    characters_.skip_space();
    record.line = characters_.line();
    record.text.clear();
    const char end = take_element(record);
    if (end == ']') return end_array(record);
    first_ = false;
    return true;
  }

 private:
  /// Appends to the text up to the comma or bracket that ends the element, and returns that.
  char take_element(Record& record) {
    Nesting nesting;
    while (!characters_.at_end()) {
      const char c = characters_.take();
      if (nesting.at_top() && (c == ',' || c == ']')) return c;
      nesting.take(c);
      record.text += c;
    }
    does_not_end(path_, record, "array's element");
  }

  bool end_array(const Record& record) {
    ended_ = true;
    characters_.skip_space();
    if (!characters_.at_end())
      throw DataError("{}:{}: something follows the end of the array", path_.string(), characters_.line());
    return !(first_ && is_blank(record.text));
  }

  Path path_;
  Characters characters_;
  bool first_ = true;
  bool ended_ = false;
};

/// Cuts values that take several lines at the bracket that closes them.
class RecordStream::JsonValues : public Source {
 public:
  JsonValues(Path path, Characters characters) : path_(std::move(path)), characters_(std::move(characters)) {}

  bool next(Record& record) override {
    characters_.skip_space();
    if (characters_.at_end()) return false;
    record.kind = Record::Kind::json;
    record.line = characters_.line();
    record.text.clear();
    Nesting nesting;
    while (!characters_.at_end()) {
      const char c = characters_.take();
      nesting.take(c);
      record.text += c;
      if (nesting.at_top() && (c == '}' || c == ']' || c == '\n')) return true;
    }
    if (!nesting.at_top()) does_not_end(path_, record, "value");
    return true;
  }

 private:
  Path path_;
  Characters characters_;
};

class RecordStream::Document : public Source {
 public:
  explicit Document(const Path& path) : path_(path) {}

  bool next(Record& record) override {
    if (read_) return false;
    read_ = true;
    record.kind = Record::Kind::document;
    record.line = 1;
    record.text = read_rest(*open_bytes(path_));
    if (record.text.starts_with(byte_order_mark)) record.text.erase(0, byte_order_mark.size());
    return true;
  }

 private:
  Path path_;
  bool read_ = false;
};

RecordStream::RecordStream(std::vector<Path> files) : files_(std::move(files)) {}
RecordStream::~RecordStream() = default;

std::unique_ptr<RecordStream::Source> RecordStream::open(const Path& path) const {
  if (has_ending(path, ".txt")) return std::make_unique<Document>(path);
  Characters characters(path);
  if (!has_ending(path, ".json")) return std::make_unique<JsonLines>(std::move(characters));
  characters.skip_space();
  if (!characters.at_end() && characters.peek() == '[') return std::make_unique<JsonArray>(path, std::move(characters));
  if (first_line_is_whole(path)) return std::make_unique<JsonLines>(std::move(characters));
  return std::make_unique<JsonValues>(path, std::move(characters));
}

bool RecordStream::next(Record& record) {
  while (file_ < files_.size()) {
    if (!source_) source_ = open(files_[file_]);
    record.file = narrow<int32_t>(file_);
    if (source_->next(record)) return true;
    source_.reset();
    ++file_;
  }
  return false;
}

}  // namespace tessera
