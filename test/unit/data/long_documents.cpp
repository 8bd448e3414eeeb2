// Plain text that is too long to be read at once comes in parts, and is stored as if it had come whole.
#include <catch2/catch.hpp>

#include "byte_tokenizer.h"
#include "data/make_samples.h"
#include "data/records.h"
#include "data/sample_store.h"

using namespace tessera;
using namespace tessera::test;

namespace {

std::vector<Record> parts_of(const TemporaryFolder& folder, const std::string& text, int64_t part_bytes) {
  RecordStream stream({folder.write("a.txt", text)}, {.document_part_bytes = part_bytes});
  std::vector<Record> parts;
  for (Record record; stream.next(record);) parts.push_back(record);
  return parts;
}

std::vector<std::string> texts_of(const std::vector<Record>& parts) {
  std::vector<std::string> texts;
  for (const Record& part : parts) texts.push_back(part.text);
  return texts;
}

/// Length and piece of every row, and the counts.
struct Stored {
  std::vector<std::pair<int32_t, int32_t>> rows;
  int64_t empty, dropped, truncated, split;
  bool operator==(const Stored&) const = default;
};

Stored stored(const TemporaryFolder& folder, const std::string& text, int64_t part_bytes, Overlong overlong,
              int64_t sequence_len) {
  const Tokenizer tokenizer = byte_tokenizer(folder);
  const Job job = job_with(folder, {dataset("d", folder / "a.txt", "completion")});
  const auto format = make_format(job.datasets[0], job.data, &tokenizer);
  const auto made = make_samples(parts_of(folder, text, part_bytes), {folder / "a.txt"}, *format, byte_vocab_size, 1);
  PreparedWriter writer(folder / "prepared.h5");
  SampleCounts counts;
  SampleStore store(writer, sequence_len, /*deduplicate=*/false, counts);
  store.begin(overlong, /*first_source=*/0);
  std::vector<SampleRow> rows;
  for (const MadeSample& one : made) store.add(one, rows);
  Stored result{{}, counts.empty, counts.dropped, counts.truncated, counts.split};
  for (const SampleRow& row : rows) result.rows.emplace_back(row.length, row.piece);
  return result;
}

}  // namespace

TEST_CASE("A long document is cut behind a line between two that are not blank", "[documents]") {
  const TemporaryFolder folder;
  const auto parts = parts_of(folder, "\xEF\xBB\xBFone\ntwo two\n\nthree\nfour four\n", 12);
  REQUIRE(texts_of(parts) == std::vector<std::string>{"one\ntwo two", "\n\nthree\n", "four four\n"});
  REQUIRE((parts[0].part.begins && !parts[0].part.ends));
  REQUIRE((!parts[1].part.begins && !parts[1].part.ends));
  REQUIRE((!parts[2].part.begins && parts[2].part.ends));
  REQUIRE((parts[0].line == 1 && parts[1].line == 2 && parts[2].line == 5));
}

TEST_CASE("Without lines a long document is cut before a space, without spaces between characters", "[documents]") {
  const TemporaryFolder folder;
  REQUIRE(texts_of(parts_of(folder, "one two three", 6)) == std::vector<std::string>{"one", " two", " three"});
  REQUIRE(texts_of(parts_of(folder, "a\u00e4\u00e4\u00e4", 4)) == std::vector<std::string>{"a\u00e4", "\u00e4\u00e4"});
}

TEST_CASE("A document that fits is one part, an empty one too", "[documents]") {
  const TemporaryFolder folder;
  for (const std::string text : {"", "one\ntwo\n"}) {
    const auto parts = parts_of(folder, text, 8);
    REQUIRE(texts_of(parts) == std::vector<std::string>{text});
    REQUIRE((parts[0].part.begins && parts[0].part.ends));
  }
}

TEST_CASE("The parts of a document have the tokens of the whole", "[documents]") {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = byte_tokenizer(folder);
  const auto format = completion_format(dataset("d", folder / "a.txt", "completion"), tokenizer);
  const std::string text = "one two\nthree four five\nsix\n";
  std::vector<int32_t> of_parts;
  for (const Record& part : parts_of(folder, text, 9)) {
    const Sample sample = format->from_document(part.text, part.part, "a.txt:1");
    of_parts.insert(of_parts.end(), sample.ids.begin(), sample.ids.end());
  }
  REQUIRE(of_parts == format->from_document(text, DocumentPart(), "a.txt:1").ids);
}

TEST_CASE("A document in parts is split, cut off or left out as the whole is", "[documents]") {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 20; ++i) text += "line " + std::to_string(i) + "\n";
  const Overlong overlong = GENERATE(Overlong::split, Overlong::truncate, Overlong::drop);
  for (const int64_t sequence_len : {2, 7, 16, 152, 153, 1000})
    for (const int64_t part_bytes : {9, 30, 100})
      REQUIRE(stored(folder, text, part_bytes, overlong, sequence_len) ==
              stored(folder, text, 1 << 20, overlong, sequence_len));
}

TEST_CASE("Of a document with a broken part nothing more is stored, and the next one is", "[documents]") {
  const TemporaryFolder folder;
  PreparedWriter writer(folder / "prepared.h5");
  SampleCounts counts;
  SampleStore store(writer, /*sequence_len=*/4, /*deduplicate=*/false, counts);
  store.begin(Overlong::split, /*first_source=*/0);
  std::vector<SampleRow> rows;
  const auto part = [](bool begins, bool ends) {
    MadeSample made;
    made.part = {begins, ends};
    made.sample = {{1, 2, 3}, {1, 2, 3}};
    return made;
  };
  store.add(part(true, false), rows);
  store.leave_out(part(false, false));
  store.add(part(false, true), rows);
  REQUIRE(rows.empty());
  store.add(part(true, true), rows);
  REQUIRE(rows.size() == 1);
}
