#include "data/records.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/number.h"

namespace tessera {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

/// The bytes of a file, block by block; says so to the observer.
class ObservedBytes {
 public:
  ObservedBytes(const Path& path, const ReadingObserver& observer)
      : path_(path), bytes_(open_bytes(path)), observer_(observer) {}

  size_t read(char* out, size_t bytes, int64_t line) {
    const size_t got = bytes_->read(out, bytes);
    read_ += narrow<int64_t>(got);
    if (observer_) observer_({path_, line, read_, bytes_->packed()});
    return got;
  }
  const Path& path() const { return path_; }

 private:
  Path path_;
  std::unique_ptr<ByteReader> bytes_;
  const ReadingObserver& observer_;
  int64_t read_ = 0;
};

/// The characters of a file one at a time, and the line that the next one is in.
class Characters {
 public:
  Characters(const Path& path, const ReadingObserver& observer, int64_t record_bytes)
      : bytes_(path, observer), record_bytes_(narrow<size_t>(record_bytes)), block_(1 << 17) {
    fill();
    if (std::string_view(block_.data(), size_).starts_with(byte_order_mark)) at_ = byte_order_mark.size();
  }

  const Path& path() const { return bytes_.path(); }

  /// Throws where a record that begins in `line` has grown to more than is kept of one.
  void check_size(const std::string& text, int64_t line) const { check_bytes(text.size(), line); }
  void check_bytes(size_t bytes, int64_t line) const {
    if (bytes > record_bytes_)
      throw DataError(
          "{}:{}: the record that begins here has more than {} bytes; check for a missing newline or bracket, or raise "
          "[data] max_record_bytes",
          path().string(), line, record_bytes_);
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
    const int64_t begins = line_;
    line.clear();
    while (!at_end()) {
      const char* begin = block_.data() + at_;
      const void* found = std::memchr(begin, '\n', size_ - at_);
      const char* end = found ? static_cast<const char*>(found) : block_.data() + size_;
      line.append(begin, end);
      at_ += static_cast<size_t>(end - begin);
      check_size(line, begins);
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
    size_ = bytes_.read(block_.data(), block_.size(), line_);
    return size_ > 0;
  }

  ObservedBytes bytes_;
  size_t record_bytes_;
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

bool first_line_is_whole(Characters characters) {
  characters.skip_space();
  std::string line;
  characters.take_line(line);
  Nesting nesting;
  for (const char c : line) nesting.take(c);
  return nesting.at_top();
}

[[noreturn]] void does_not_end(const Path& path, const Record& record, const char* what) {
  throw DataError(
      "{}:{}: the {} that begins here does not end; the file is truncated, or a bracket or quotation mark is missing",
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
  explicit JsonArray(Characters characters) : characters_(std::move(characters)) {
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
      characters_.check_size(record.text, record.line);
    }
    does_not_end(characters_.path(), record, "array's element");
  }

  bool end_array(const Record& record) {
    ended_ = true;
    characters_.skip_space();
    if (!characters_.at_end())
      throw DataError("{}:{}: unexpected text after the end of the array", characters_.path().string(),
                      characters_.line());
    return !(first_ && is_blank(record.text));
  }

  Characters characters_;
  bool first_ = true;
  bool ended_ = false;
};

/// Cuts values that take several lines at the bracket that closes them.
class RecordStream::JsonValues : public Source {
 public:
  explicit JsonValues(Characters characters) : characters_(std::move(characters)) {}

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
      characters_.check_size(record.text, record.line);
      if (nesting.at_top() && (c == '}' || c == ']' || c == '\n')) return true;
    }
    if (!nesting.at_top()) does_not_end(characters_.path(), record, "value");
    return true;
  }

 private:
  Characters characters_;
};

class RecordStream::Document : public Source {
 public:
  Document(const Path& path, const ReadingObserver& observer, int64_t part_bytes)
      : bytes_(path, observer), part_bytes_(narrow<size_t>(part_bytes)), block_(1 << 17) {}

  bool next(Record& record) override {
    if (ended_) return false;
    fill();
    record.kind = Record::Kind::document;
    record.line = line_;
    record.part.begins = begins_;
    const size_t cut = rest_.size() <= part_bytes_ ? rest_.size() : cut_place(rest_, part_bytes_);
    record.text = rest_.substr(0, cut);
    rest_.erase(0, cut);
    record.part.ends = ended_ = rest_.empty();
    begins_ = false;
    line_ += std::count(record.text.begin(), record.text.end(), '\n');
    return true;
  }

 private:
  /// Reads until the rest is longer than a part, or the file at its end.
  void fill() {
    while (rest_.size() <= part_bytes_) {
      const size_t got = bytes_.read(block_.data(), block_.size(), line_);
      if (got == 0) return;
      rest_.append(block_.data(), got);
      if (begins_ && !marked_ && rest_.size() >= byte_order_mark.size()) {
        marked_ = true;
        if (rest_.starts_with(byte_order_mark)) rest_.erase(0, byte_order_mark.size());
      }
    }
  }

  /// In the second half of the part, so that a cut is rare: behind a line between two that are not blank, where no
  /// token of a usual tokenizer goes across; else before a space; else between characters.
  static size_t cut_place(std::string_view text, size_t part_bytes) {
    const auto is_space = [&](size_t at) { return std::strchr(" \t\r\n", text[at]) && text[at] != '\0'; };
    for (size_t at = part_bytes; at > part_bytes / 2; --at)
      if (text[at - 1] == '\n' && at >= 2 && !is_space(at - 2) && !is_space(at)) return at;
    for (size_t at = part_bytes; at >= std::max<size_t>(1, part_bytes / 2); --at)
      if (is_space(at) && !is_space(at - 1)) return at;
    size_t at = part_bytes;
    while (at + 3 > part_bytes && at > 1 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    return at;
  }

  ObservedBytes bytes_;
  size_t part_bytes_;
  std::vector<char> block_;
  std::string rest_;
  int64_t line_ = 1;
  bool begins_ = true, ended_ = false, marked_ = false;
};

class RecordStream::TextLines : public Source {
 public:
  explicit TextLines(Characters characters) : characters_(std::move(characters)) {}

  bool next(Record& record) override {
    record.kind = Record::Kind::document;
    record.part = {};
    while (!characters_.at_end()) {
      record.line = characters_.line();
      characters_.take_line(record.text);
      if (!record.text.empty()) return true;
    }
    return false;
  }

 private:
  Characters characters_;
};

/// Rows of a table as JSON objects.
class RecordStream::Table : public Source {
 public:
  Table(Characters characters, char separator) : characters_(std::move(characters)), separator_(separator) {
    take_row(names_);
    std::vector<std::string> sorted = names_;
    std::sort(sorted.begin(), sorted.end());
    if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end())
      throw DataError("{}:1: two columns are called \"{}\"; rename one", characters_.path().string(), excerpt(*twice));
  }

  bool next(Record& record) override {
    record.kind = Record::Kind::json;
    do {
      if (characters_.at_end()) return false;
      record.line = characters_.line();
      take_row(fields_);
    } while (fields_.size() == 1 && fields_[0].empty());  // an empty line
    record.broken.clear();
    if (fields_.size() != names_.size())
      record.broken = fmt::format("the row has {} field{}, the first row {}; check separators and quotation marks",
                                  fields_.size(), fields_.size() == 1 ? "" : "s", names_.size());
    write_object(record.text);
    return true;
  }

 private:
  void take_row(std::vector<std::string>& fields) {
    fields.assign(1, "");
    const int64_t line = characters_.line();
    bool quoted = false, was_quoted = false;  // inside quotation marks; the field has had some
    for (size_t bytes = 1; !characters_.at_end(); ++bytes) {
      characters_.check_bytes(bytes, line);
      const char c = characters_.take();
      if (quoted && c == '"') {
        quoted = !characters_.at_end() && characters_.peek() == '"';
        if (quoted) fields.back() += characters_.take();
      } else if (quoted) {
        fields.back() += c;
      } else if (c == '"' && fields.back().empty() && !was_quoted) {
        quoted = was_quoted = true;
      } else if (c == separator_) {
        fields.emplace_back();
        was_quoted = false;
      } else if (c == '\n') {
        return;
      } else if (c != '\r' || characters_.at_end() || characters_.peek() != '\n') {
        fields.back() += c;
      }
    }
    if (quoted)
      throw DataError(
          "{}:{}: a quotation mark in the row that begins here has no end; the file is truncated, or one is missing",
          characters_.path().string(), line);
  }

  void write_object(std::string& text) const {
    text = "{";
    for (size_t i = 0; i < std::min(names_.size(), fields_.size()); ++i) {
      text += i > 0 ? "," : "";
      write_string(names_[i], text);
      text += ':';
      if (fields_[i].empty())
        text += "null";
      else
        write_string(fields_[i], text);
    }
    text += '}';
  }

  static void write_string(std::string_view value, std::string& text) {
    text += '"';
    for (const char c : value) {
      if (c == '"' || c == '\\') text += '\\';
      if (static_cast<unsigned char>(c) < 0x20)
        text += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
      else
        text += c;
    }
    text += '"';
  }

  Characters characters_;
  char separator_;
  std::vector<std::string> names_, fields_;
};

RecordStream::RecordStream(std::vector<Path> files, RecordLimits limits, ReadingObserver observer)
    : files_(std::move(files)), limits_(limits), observer_(std::move(observer)) {}
RecordStream::~RecordStream() = default;

std::unique_ptr<RecordStream::Source> RecordStream::open(const Path& path) const {
  if (has_ending(path, ".txt") && limits_.text_unit == TextUnit::file)
    return std::make_unique<Document>(path, observer_, limits_.document_part_bytes);
  const auto opened = [&] { return Characters(path, observer_, limits_.record_bytes); };
  Characters characters = opened();
  if (has_ending(path, ".txt")) return std::make_unique<TextLines>(std::move(characters));
  if (has_ending(path, ".csv")) return std::make_unique<Table>(std::move(characters), ',');
  if (has_ending(path, ".tsv")) return std::make_unique<Table>(std::move(characters), '\t');
  if (!has_ending(path, ".json")) return std::make_unique<JsonLines>(std::move(characters));
  characters.skip_space();
  if (!characters.at_end() && characters.peek() == '[') return std::make_unique<JsonArray>(std::move(characters));
  if (first_line_is_whole(opened())) return std::make_unique<JsonLines>(std::move(characters));
  return std::make_unique<JsonValues>(std::move(characters));
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
