// When a prepared file is used again, and what happens to broken ones.
#include <catch2/catch.hpp>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "fixture.h"

using namespace tessera;
using namespace tessera::test;

namespace {

const std::string two_lines = "{\"input_ids\": [1, 2, 3]}\n{\"input_ids\": [4, 5]}\n";

PreparedFile prepare_again(const Job& job, int64_t vocab_size = test_vocab_size) {
  return prepare(job, nullptr, vocab_size);
}

}  // namespace

TEST_CASE("A prepared file is used again for the same job", "[reuse]") {
  const TemporaryFolder folder;
  const Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", two_lines))});
  const PreparedFile first = prepare_again(job), second = prepare_again(job);
  REQUIRE_FALSE(first.reused);
  REQUIRE(second.reused);
  REQUIRE(second.path == first.path);
  REQUIRE(second.summary == first.summary);
}

TEST_CASE("A data file whose name is not UTF-8 is prepared and read", "[reuse]") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "lines");
  folder.write("lines/a\xFF.jsonl", two_lines);
  const Job job = job_with(folder, {dataset("d", folder.path() / "lines")});
  REQUIRE(PreparedSet(prepare_again(job).path, "train").size() == 2);
  REQUIRE(prepare_again(job).reused);
}

TEST_CASE("A prepared file is made anew when anything that shapes it changes", "[reuse]") {
  const TemporaryFolder folder;
  Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", two_lines))});
  prepare_again(job);
  SECTION("contents") { folder.write("a.jsonl", two_lines + "{\"input_ids\": [6]}\n"); }
  SECTION("sequence_len") { job.data.sequence_len = 63; }
  SECTION("overlong") { job.data.overlong = Overlong::split; }
  SECTION("on_error") { job.data.on_error = OnError::skip; }
  SECTION("val_set_size") { job.data.val_set_size = 1; }
  SECTION("repeat") { job.datasets[0].repeat = 2; }
  SECTION("limit") { job.datasets[0].limit = 1; }
  SECTION("train_on_inputs") { job.data.train_on_inputs = true; }
  SECTION("chat_template") { job.datasets[0].chat_template = "llama3"; }
  SECTION("system_prompt") { job.datasets[0].system_prompt = "Be brief."; }
  SECTION("field_messages") { job.datasets[0].field_messages = "talk"; }
  SECTION("message_field_training") { job.datasets[0].message_field_training = "learn"; }
  SECTION("roles_to_train") { job.datasets[0].roles_to_train = {"user"}; }
  SECTION("train_on_eos") { job.datasets[0].train_on_eos = TrainOnEos::all; }
  SECTION("another data set") { job.datasets.push_back(job.datasets[0]); }
  REQUIRE_FALSE(prepare_again(job).reused);
}

TEST_CASE("A prepared file is used again when what changed does not shape it", "[reuse]") {
  const TemporaryFolder folder;
  Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", two_lines))});
  prepare_again(job);
  SECTION("the seed, without a split") { job.job.seed = 1; }
  SECTION("packing") { job.data.sample_packing = false; }
  SECTION("threads") { job.data.workers = 1; }
  REQUIRE(prepare_again(job).reused);
}

TEST_CASE("The seed shapes a prepared file that is split by it", "[reuse]") {
  const TemporaryFolder folder;
  Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", two_lines))});
  job.data.val_set_size = 1;
  prepare_again(job);
  job.job.seed = 1;
  REQUIRE_FALSE(prepare_again(job).reused);
}

TEST_CASE("A truncated prepared file is an error that says to delete it", "[reuse]") {
  const TemporaryFolder folder;
  const Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", two_lines))});
  const Path file = prepare_again(job).path;
  std::filesystem::resize_file(file, std::filesystem::file_size(file) * 2 / 3);
  const std::string error = error_of<DataError>([&] { prepare_again(job); });
  REQUIRE_THAT(error, Catch::Contains(file.string()));
  REQUIRE_THAT(error, Catch::Contains("delete"));
}

TEST_CASE("A prepared file that is not HDF5 is an error that says to delete it", "[reuse]") {
  const TemporaryFolder folder;
  const Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", two_lines))});
  const Path file = prepare_again(job).path;
  write_text_durably(file, "nothing of the kind");
  REQUIRE_THAT(error_of<DataError>([&] { PreparedSet(file, "train"); }), Catch::Contains("delete"));
}

TEST_CASE("A missing prepared file is an error that names it", "[reuse]") {
  const TemporaryFolder folder;
  const Path file = folder / "prepared.h5";
  REQUIRE_THAT(error_of<DataError>([&] { PreparedSet(file, "train"); }), Catch::Contains(file.string()));
}

TEST_CASE("A preparation that fails leaves no prepared file behind", "[reuse]") {
  const TemporaryFolder folder;
  const Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", two_lines + "{broken\n"))});
  REQUIRE_THROWS_AS(prepare_again(job), DataError);
  for (const auto& entry : std::filesystem::directory_iterator(folder / "prepared"))
    REQUIRE(entry.path().extension() == ".lock");
}

TEST_CASE("Of several that prepare at once one makes the file and the others use it", "[reuse]") {
  const TemporaryFolder folder;
  const Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", two_lines))});
  std::vector<PreparedFile> files(4);
  {
    std::vector<std::jthread> threads;
    for (PreparedFile& file : files) threads.emplace_back([&] { file = prepare_again(job); });
  }
  REQUIRE(std::count_if(files.begin(), files.end(), [](const PreparedFile& file) { return !file.reused; }) == 1);
}
