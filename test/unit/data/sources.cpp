// Which files a data set names, how they are read, and what is said about broken ones.
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include <catch2/catch.hpp>

#include "base/error.h"
#include "fixture.h"

using namespace tessera;
using namespace tessera::test;

namespace {

const std::string first = R"({"input_ids": [1, 2]})", second = R"({"input_ids": [3, 4, 5]})";
const std::vector<StoredSample> both = {{{1, 2}, {1, 2}}, {{3, 4, 5}, {3, 4, 5}}};

Path write_gzip(const TemporaryFolder& folder, const std::string& name, const std::string& text) {
  const Path path = folder / name;
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  return path;
}

std::string zstd_of(const std::string& text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
  return packed;
}

std::string preparation_error(const TemporaryFolder& folder, const Path& path) {
  return error_of<DataError>([&] { prepare(job_with(folder, {dataset("d", path)}), nullptr, test_vocab_size); });
}

std::string mistake_of_the_job(const TemporaryFolder& folder, const Path& path) {
  return error_of<JobError>([&] { prepare(job_with(folder, {dataset("d", path)}), nullptr, test_vocab_size); });
}

/// The error for a file of one such line between two good ones.
std::string line_error(const std::string& line) {
  const TemporaryFolder folder;
  return preparation_error(folder, folder.write("a.jsonl", first + "\n" + line + "\n" + second + "\n"));
}

}  // namespace

TEST_CASE("Samples are read from lines, with any line end and a byte order mark", "[sources]") {
  const TemporaryFolder folder;
  const Path path = folder.write("a.jsonl", "\xEF\xBB\xBF" + first + "\r\n\r\n  \n" + second);
  REQUIRE(prepared_samples(job_with(folder, {dataset("d", path)})) == both);
}

TEST_CASE("Samples are read from an array", "[sources]") {
  const TemporaryFolder folder;
  const std::string text = GENERATE("[" + first + "," + second + "]", "\n[\n  " + first + ",\n  " + second + "\n]\n");
  REQUIRE(prepared_samples(job_with(folder, {dataset("d", folder.write("a.json", text))})) == both);
}

TEST_CASE("A .json file may hold JSON lines", "[sources]") {
  const TemporaryFolder folder;
  REQUIRE(prepared_samples(job_with(folder, {dataset("d", folder.write("a.json", first + "\n" + second))})) == both);
}

TEST_CASE("A .json file may hold values over several lines, one alone too", "[sources]") {
  const TemporaryFolder folder;
  const std::string spread = "{\n  \"note\": \"a } in\\\" text\",\n  \"input_ids\": [\n    1,\n    2\n  ]\n}\n";
  REQUIRE(prepared_samples(job_with(folder, {dataset("one", folder.write("one.json", spread))})) ==
          std::vector{both[0]});
  REQUIRE(prepared_samples(job_with(folder, {dataset("two", folder.write("two.json", spread + second))})) == both);
}

TEST_CASE("A value over several lines that does not end is an error with the line where it begins", "[sources]") {
  const TemporaryFolder folder;
  REQUIRE_THAT(preparation_error(folder, folder.write("a.json", "\n{\n\"input_ids\": [1, 2]\n")),
               Catch::Contains("a.json:2: the value that begins here does not end"));
}

TEST_CASE("Brackets, commas and quotation marks inside texts do not end an array's element", "[sources]") {
  const TemporaryFolder folder;
  const std::string note = R"("note": "] , \" } \\", )";
  const std::string text = "[{" + note + first.substr(1) + ",{" + note + second.substr(1) + "]";
  REQUIRE(prepared_samples(job_with(folder, {dataset("d", folder.write("a.json", text))})) == both);
}

TEST_CASE("Gzip files are unpacked, also of several members", "[sources]") {
  const TemporaryFolder folder;
  const Path path = write_gzip(folder, "a.jsonl.gz", first + "\n");
  gzFile more = gzopen(path.c_str(), "ab");
  gzwrite(more, second.data(), static_cast<unsigned>(second.size()));
  gzclose(more);
  REQUIRE(prepared_samples(job_with(folder, {dataset("d", path)})) == both);
}

TEST_CASE("Zstandard files are unpacked, also of several frames", "[sources]") {
  const TemporaryFolder folder;
  const Path path = folder.write("a.jsonl.zst", zstd_of(first + "\n") + zstd_of(second));
  REQUIRE(prepared_samples(job_with(folder, {dataset("d", path)})) == both);
}

TEST_CASE("A large Zstandard file is read whole", "[sources]") {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 30'000; ++i) text += "{\"input_ids\": [1, " + std::to_string(i % 500) + "]}\n";
  const auto samples = prepared_samples(job_with(folder, {dataset("d", folder.write("a.jsonl.zst", zstd_of(text)))}));
  REQUIRE(samples.size() == 30'000);
  REQUIRE(samples[29'999].ids == std::vector<int32_t>{1, 29'999 % 500});
}

TEST_CASE("A truncated compressed file is an error", "[sources]") {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 5'000; ++i) text += "{\"input_ids\": [1, " + std::to_string(i * 7919 % 500) + "]}\n";
  const Path path =
      GENERATE(true, false) ? write_gzip(folder, "a.jsonl.gz", text) : folder.write("a.jsonl.zst", zstd_of(text));
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  REQUIRE_THAT(preparation_error(folder, path), Catch::Contains("truncated") && Catch::Contains(path.string()));
}

TEST_CASE("A record longer than max_record_bytes is an error with file and line, packed or not", "[sources]") {
  const TemporaryFolder folder;
  const std::string blank(100'000, ' '), endless = "{\"input_ids\": [1, " + blank;
  const std::vector<std::pair<Path, std::string>> files = {
      {folder.write("a.jsonl", first + "\n" + endless), "a.jsonl:2"},
      {folder.write("b.jsonl.zst", zstd_of(first + "\n" + blank + blank)), "b.jsonl.zst:2"},
      {write_gzip(folder, "c.json.gz", "[" + first + ",\n" + endless), "c.json.gz:2"},
      {folder.write("d.json", "{\n\"input_ids\": [1" + blank), "d.json:1"}};
  for (const auto& [path, place] : files) {
    Job job = job_with(folder, {dataset("d", path)});
    job.data.max_record_bytes = 50'000;
    const std::string error = error_of<DataError>([&] { prepare(job, nullptr, test_vocab_size); });
    REQUIRE_THAT(error, Catch::Contains(place + ":") && Catch::Contains("max_record_bytes"));
    REQUIRE(error.size() < 1000);
  }
}

TEST_CASE("A pipe among the data files is refused at once, also inside a directory", "[sources]") {
  const TemporaryFolder folder;
  folder.write("data/a.jsonl", first);
  REQUIRE(::mkfifo((folder / "data/b.jsonl").c_str(), 0600) == 0);
  for (const Path& path : {folder / "data", folder / "data/b.jsonl", folder / "data/*.jsonl"})
    REQUIRE_THAT(preparation_error(folder, path), Catch::Contains("b.jsonl: is a pipe"));
}

TEST_CASE("A message about a sample stays short, however large the sample", "[sources]") {
  std::string keys;
  for (int i = 0; i < 10'000; ++i) keys += "\"key" + std::to_string(i) + "\": 1, ";
  const std::string deep = std::string(1'000, '[') + std::string(1'000, ']');
  for (const std::string& line : {"{" + keys + "\"id\": 7}", "{\"input_ids\": [" + deep + "]}",
                                  "{\"input_ids\": [\"" + std::string(100'000, 'x') + "\"]}"}) {
    const std::string error = line_error(line);
    REQUIRE_THAT(error, Catch::Contains("a.jsonl:2"));
    REQUIRE(error.size() < 1000);
  }
}

TEST_CASE("A directory gives its data files in the order of their names", "[sources]") {
  const TemporaryFolder folder;
  folder.write("data/b.jsonl", second);
  folder.write("data/a.json", "[" + first + "]");
  folder.write("data/README.md", "about the data");
  folder.write("data/notes.txt", "about the data");
  folder.write("data/.hidden.jsonl", "{}");
  REQUIRE(prepared_samples(job_with(folder, {dataset("d", folder / "data")})) == both);
}

TEST_CASE("A glob gives the files that match it", "[sources]") {
  const TemporaryFolder folder;
  folder.write("part-0.jsonl", first);
  folder.write("part-1.jsonl", second);
  folder.write("other.jsonl", second);
  REQUIRE(prepared_samples(job_with(folder, {dataset("d", folder / "part-*.jsonl")})) == both);
}

TEST_CASE("A missing data file is a mistake of the job, named with path and section", "[sources]") {
  const TemporaryFolder folder;
  const Path path = folder / GENERATE("none.jsonl", "none-*.jsonl");
  REQUIRE_THAT(mistake_of_the_job(folder, path), Catch::Contains(path.string()) && Catch::Contains("[dataset.d] path"));
}

TEST_CASE("A directory without data files is a mistake of the job", "[sources]") {
  const TemporaryFolder folder;
  folder.write("data/README.md", "about the data");
  REQUIRE_THAT(mistake_of_the_job(folder, folder / "data"), Catch::Contains("has no data files"));
}

TEST_CASE("An unknown file type is a JobError that names the known ones", "[sources]") {
  const TemporaryFolder folder;
  REQUIRE_THAT(mistake_of_the_job(folder, folder.write("a.xml", "<x/>")), Catch::Contains(".jsonl"));
}

TEST_CASE("Plain text for another type than completion is a JobError", "[sources]") {
  const TemporaryFolder folder;
  const Job job = job_with(folder, {dataset("d", folder.write("a.txt", "text"))});
  REQUIRE_THAT(error_of<JobError>([&] { prepare(job, nullptr, test_vocab_size); }), Catch::Contains("completion"));
}

TEST_CASE("Text without a tokenizer is a mistake of the job", "[sources]") {
  const TemporaryFolder folder;
  const Job job = job_with(folder, {dataset("d", folder.write("a.txt", "text"), "completion")});
  REQUIRE_THROWS_AS(prepare(job, nullptr, test_vocab_size), JobError);
}

TEST_CASE("A broken line is an error with file and line", "[sources]") {
  REQUIRE_THAT(line_error("{\"input_ids\": [1, 2"), Catch::Contains("a.jsonl:2: invalid JSON"));
}

TEST_CASE("A broken element of an array is an error with the line where it begins", "[sources]") {
  const TemporaryFolder folder;
  const Path path = folder.write("a.json", "[\n" + first + ",\n{\"input_ids\": [1 2]},\n" + second + "\n]");
  REQUIRE_THAT(preparation_error(folder, path), Catch::Contains("a.json:3: invalid JSON"));
}

TEST_CASE("An array that does not end is an error", "[sources]") {
  const TemporaryFolder folder;
  REQUIRE_THAT(preparation_error(folder, folder.write("a.json", "[" + first + ",\n" + second)),
               Catch::Contains("a.json:2: the array's element that begins here does not end"));
}

TEST_CASE("A missing key is an error with the keys that are there", "[sources]") {
  REQUIRE_THAT(line_error(R"({"tokens": [1], "id": 7})"),
               Catch::Contains("a.jsonl:2: the sample has no key \"input_ids\"; its keys are tokens, id"));
}

TEST_CASE("A token outside the vocabulary is an error with file and line", "[sources]") {
  const std::string id = GENERATE("512", "-1");
  REQUIRE_THAT(line_error("{\"input_ids\": [1, " + id + "]}"),
               Catch::Contains("a.jsonl:2: token " + id + " at position 1"));
}

TEST_CASE("A label outside the vocabulary is an error with file and line", "[sources]") {
  REQUIRE_THAT(line_error(R"({"input_ids": [1, 2], "labels": [-100, -1]})"),
               Catch::Contains("a.jsonl:2: label -1 at position 1"));
}

TEST_CASE("Another number of labels than of tokens is an error with file and line", "[sources]") {
  REQUIRE_THAT(line_error(R"({"input_ids": [1, 2], "labels": [1]})"),
               Catch::Contains("a.jsonl:2: 1 labels for 2 input_ids"));
}

TEST_CASE("What is no whole number is no token", "[sources]") {
  REQUIRE_THAT(line_error(R"({"input_ids": [1, 2.5]})"), Catch::Contains("a.jsonl:2: input_ids[1] is 2.5"));
}

TEST_CASE("on_error = skip leaves broken lines out and counts them", "[sources]") {
  const TemporaryFolder folder;
  const Path path = folder.write("a.jsonl", first + "\n{broken\n{\"ids\": []}\n" + second + "\n");
  Job job = job_with(folder, {dataset("d", path)});
  job.data.on_error = OnError::skip;
  REQUIRE(prepared_samples(job) == both);
  REQUIRE_THAT(prepare(job, nullptr, test_vocab_size).summary, Catch::Contains("2 samples broken, skipped"));
}

TEST_CASE("limit stops before a broken line that lies behind it", "[sources]") {
  const TemporaryFolder folder;
  auto limited = dataset("d", folder.write("a.jsonl", first + "\n" + second + "\n{broken\n"));
  limited.limit = 2;
  REQUIRE(prepared_samples(job_with(folder, {limited})) == both);
}

TEST_CASE("A data set without a sample is an error", "[sources]") {
  const TemporaryFolder folder;
  const Path path = GENERATE(true, false) ? folder.write("a.jsonl", "\n\n") : folder.write("a.json", "[ ]");
  REQUIRE_THAT(preparation_error(folder, path), Catch::Contains("no samples to train on"));
}

TEST_CASE("A data set whose samples are all too long is an error that says so", "[sources]") {
  const TemporaryFolder folder;
  Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", first))});
  job.data.sequence_len = 1;
  REQUIRE_THAT(error_of<DataError>([&] { prepare(job, nullptr, test_vocab_size); }),
               Catch::Contains("overlong = split"));
}
