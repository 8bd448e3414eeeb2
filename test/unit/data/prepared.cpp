#include "data/prepared.h"

#include <catch2/catch.hpp>

#include "base/error.h"
#include "data/inspect.h"
#include "fixture.h"

using namespace tessera;
using namespace tessera::test;

namespace {

const std::string three_lines = R"({"input_ids": [1, 2, 3], "labels": [-100, 2, 3]})"
                                "\n"
                                R"({"input_ids": [4, 5]})"
                                "\n\n"
                                R"({"input_ids": [6, 7, 8, 9], "labels": [6, -100, -100, 9]})"
                                "\n";

const std::vector<StoredSample> three_samples = {
    {{1, 2, 3}, {-100, 2, 3}}, {{4, 5}, {4, 5}}, {{6, 7, 8, 9}, {6, -100, -100, 9}}};

/// n samples of one token each beside a constant, so that each can be told from the others.
std::string numbered_lines(int n) {
  std::string text;
  for (int i = 0; i < n; ++i) text += "{\"input_ids\": [500, " + std::to_string(i) + "]}\n";
  return text;
}

Path prepared_path(const Job& job) { return prepare(job, nullptr, test_vocab_size).path; }

}  // namespace

TEST_CASE("Tokenized samples are stored unchanged, with all labels if they have none", "[prepared]") {
  const TemporaryFolder folder;
  REQUIRE(prepared_samples(job_with(folder, {dataset("d", folder.write("a.jsonl", three_lines))})) == three_samples);
}

TEST_CASE("supervised counts the labels that are predicted from a token before them", "[prepared]") {
  const TemporaryFolder folder;
  const PreparedSet set(prepared_path(job_with(folder, {dataset("d", folder.write("a.jsonl", three_lines))})), "train");
  REQUIRE(set.supervised() == std::vector<int32_t>{2, 1, 1});
  REQUIRE(set.lengths() == std::vector<int32_t>{3, 2, 4});
  REQUIRE(set.total_tokens() == 9);
}

TEST_CASE("A batch holds its documents flat, with targets shifted inside each", "[batch]") {
  const TemporaryFolder folder;
  const PreparedSet set(prepared_path(job_with(folder, {dataset("d", folder.write("a.jsonl", three_lines))})), "train");
  const std::vector<std::vector<int32_t>> sequences = {{2, 0}, {1}};
  const Batch batch = make_batch(set, sequences);
  REQUIRE(batch.tokens == std::vector<int32_t>{6, 7, 8, 9, 1, 2, 3, 4, 5});
  REQUIRE(batch.targets == std::vector<int32_t>{-100, -100, 9, -100, 2, 3, -100, 5, -100});
  REQUIRE(batch.positions == std::vector<int32_t>{0, 1, 2, 3, 0, 1, 2, 0, 1});
  REQUIRE(batch.cu_seqlens == std::vector<int32_t>{0, 4, 7, 9});
  REQUIRE(batch.supervised == 4);
  REQUIRE(batch.samples == 3);
}

TEST_CASE("A batch of no sequences is empty", "[batch]") {
  const TemporaryFolder folder;
  const PreparedSet set(prepared_path(job_with(folder, {dataset("d", folder.write("a.jsonl", three_lines))})), "train");
  const Batch batch = make_batch(set, {});
  REQUIRE(batch.size() == 0);
  REQUIRE(batch.documents() == 0);
}

TEST_CASE("Samples are the same whether the file is kept in memory or read piece by piece", "[prepared]") {
  const TemporaryFolder folder;
  const Path path = prepared_path(job_with(folder, {dataset("d", folder.write("a.jsonl", three_lines))}));
  REQUIRE(samples_of(PreparedSet(path, "train", 0)) == three_samples);
  REQUIRE(samples_of(PreparedSet(path, "train", 9)) == three_samples);
}

TEST_CASE("A sample knows the file and line it came from", "[prepared]") {
  const TemporaryFolder folder;
  const Path file = folder.write("a.jsonl", three_lines);
  const PreparedSet set(prepared_path(job_with(folder, {dataset("d", file)})), "train");
  REQUIRE(set.source(2) == file.string() + ":4");
}

TEST_CASE("deduplicate keeps the first of equal samples, also of another data set", "[prepared]") {
  const TemporaryFolder folder;
  const std::string text =
      R"({"input_ids": [1, 2], "labels": [1, 2]}
{"input_ids": [1, 2], "labels": [-100, 2]}
{"input_ids": [1, 2]}
{"input_ids": [3, 4]}
)";
  Job job =
      job_with(folder, {dataset("a", folder.write("a.jsonl", text)), dataset("b", folder.write("b.jsonl", text))});
  job.eval_datasets = {dataset("c", folder.write("c.jsonl", text + "{\"input_ids\": [5, 6]}"))};
  CHECK(prepared_samples(job).size() == 8);
  job.data.deduplicate = true;
  const std::vector<StoredSample> train = prepared_samples(job);
  CHECK(train == std::vector<StoredSample>{{{1, 2}, {1, 2}}, {{1, 2}, {ignored_label, 2}}, {{3, 4}, {3, 4}}});
  CHECK(prepared_samples(job, "eval") == std::vector<StoredSample>{{{5, 6}, {5, 6}}});
}

TEST_CASE("A shard is one of every so many samples, and its limit counts those", "[prepared]") {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 1; i <= 7; ++i) text += fmt::format("{{\"input_ids\": [{}, 9]}}\n", i);
  Job job = job_with(folder, {dataset("a", folder.write("a.jsonl", text))});
  job.datasets[0].shards = 3;
  const auto firsts = [&](int64_t shard, int64_t limit) {
    job.datasets[0].shards_idx = shard;
    job.datasets[0].limit = limit;
    std::vector<int32_t> ids;
    for (const StoredSample& sample : prepared_samples(job)) ids.push_back(sample.ids.front());
    return ids;
  };
  CHECK(firsts(0, 0) == std::vector<int32_t>{1, 4, 7});
  CHECK(firsts(2, 0) == std::vector<int32_t>{3, 6});
  CHECK(firsts(0, 2) == std::vector<int32_t>{1, 4});
}

TEST_CASE("overlong = drop leaves long samples out", "[prepared]") {
  const TemporaryFolder folder;
  Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", three_lines))});
  job.data.sequence_len = 3;
  REQUIRE(prepared_samples(job) == std::vector<StoredSample>{three_samples[0], three_samples[1]});
}

TEST_CASE("overlong = truncate cuts long samples off", "[prepared]") {
  const TemporaryFolder folder;
  Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", three_lines))});
  job.data.sequence_len = 3;
  job.data.overlong = Overlong::truncate;
  REQUIRE(prepared_samples(job).at(2) == StoredSample{{6, 7, 8}, {6, -100, -100}});
}

TEST_CASE("overlong = split cuts long samples into pieces, which count as one sample", "[prepared]") {
  const TemporaryFolder folder;
  Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", three_lines))});
  job.data.sequence_len = 3;
  job.data.overlong = Overlong::split;
  const PreparedSet set(prepared_path(job), "train");
  const auto samples = samples_of(set);
  REQUIRE(samples.at(2) == StoredSample{{6, 7, 8}, {6, -100, -100}});
  REQUIRE(samples.at(3) == StoredSample{{9}, {9}});
  const std::vector<std::vector<int32_t>> both = {{2}, {3}};
  REQUIRE(make_batch(set, both).samples == 1);
}

TEST_CASE("repeat lists a data set's samples again, limit takes its first ones", "[prepared]") {
  const TemporaryFolder folder;
  auto first = dataset("first", folder.write("a.jsonl", three_lines));
  first.repeat = 2;
  first.limit = 1;
  const auto second = dataset("second", folder.write("b.jsonl", R"({"input_ids": [77, 78]})"));
  REQUIRE(prepared_samples(job_with(folder, {first, second})) ==
          std::vector<StoredSample>{three_samples[0], three_samples[0], {{77, 78}, {77, 78}}});
}

TEST_CASE("val_set_size takes samples out of training, the same ones for the same seed", "[prepared]") {
  const TemporaryFolder folder;
  Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", numbered_lines(100)))});
  job.data.val_set_size = GENERATE(0.1, 10);
  const auto eval = prepared_samples(job, "eval"), train = prepared_samples(job, "train");
  REQUIRE(eval.size() == 10);
  REQUIRE(train.size() == 90);
  for (const StoredSample& sample : eval) REQUIRE(std::find(train.begin(), train.end(), sample) == train.end());

  std::filesystem::remove_all(folder / "prepared");
  REQUIRE(prepared_samples(job, "eval") == eval);
  job.job.seed = 43;
  REQUIRE(prepared_samples(job, "eval") != eval);
}

TEST_CASE("Evaluation data sets make the eval split", "[prepared]") {
  const TemporaryFolder folder;
  Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", three_lines))});
  job.eval_datasets = {dataset("e", folder.write("b.jsonl", R"({"input_ids": [77, 78]})"))};
  REQUIRE(prepared_samples(job, "eval") == std::vector<StoredSample>{{{77, 78}, {77, 78}}});
  REQUIRE(prepared_samples(job, "train") == three_samples);
}

TEST_CASE("A validation set as large as the data is refused", "[prepared]") {
  const TemporaryFolder folder;
  Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", three_lines))});
  job.data.val_set_size = 3;
  REQUIRE_THAT(error_of<DataError>([&] { prepare(job, nullptr, test_vocab_size); }),
               Catch::Contains("val_set_size = 3"));
}

TEST_CASE("The order of the samples does not depend on the number of threads", "[prepared]") {
  const TemporaryFolder folder;
  Job job = job_with(folder, {dataset("d", folder.write("a.jsonl", numbered_lines(499)))});
  job.data.workers = 1;
  const auto with_one = prepared_samples(job);
  std::filesystem::remove_all(folder / "prepared");
  job.data.workers = 4;
  REQUIRE(prepared_samples(job) == with_one);
}

TEST_CASE("A sample without loss is kept", "[prepared]") {
  const TemporaryFolder folder;
  const auto job = job_with(
      folder,
      {dataset("d", folder.write("a.jsonl", "{\"input_ids\":[1,2],\"labels\":[-100,-100]}\n{\"input_ids\":[3,4]}\n"))});
  const PreparedFile file = prepare(job, nullptr, test_vocab_size);
  REQUIRE(PreparedSet(file.path, "train").size() == 2);
  REQUIRE_THAT(file.summary, Catch::Contains("1 sample without a supervised token"));
}

TEST_CASE("A data set without loss is an error that names it, beside others and for evaluation too", "[prepared]") {
  const TemporaryFolder folder;
  const Path good = folder.write("a.jsonl", three_lines);
  const Path silent = folder.write("b.jsonl", R"({"input_ids":[1,2],"labels":[1,-100]})");
  Job job = job_with(folder, {dataset("good", good)});
  const bool evaluation = GENERATE(true, false);
  (evaluation ? job.eval_datasets : job.datasets).push_back(dataset("silent", silent));
  REQUIRE_THAT(error_of<DataError>([&] { prepare(job, nullptr, test_vocab_size); }),
               Catch::StartsWith(evaluation ? "[eval_dataset.silent] (" : "[dataset.silent] (") &&
                   Catch::Contains("b.jsonl): no token of its 1 sample carries loss"));
  REQUIRE(std::filesystem::is_empty(folder / "prepared") == false);  // its lock; no file that a later run would take
  for (const auto& entry : std::filesystem::directory_iterator(folder / "prepared"))
    REQUIRE(entry.path().extension() == ".lock");
}

TEST_CASE("A data set repeated beyond the limit is a JobError", "[prepared]") {
  const TemporaryFolder folder;
  auto often = dataset("often", folder.write("a.jsonl", three_lines));
  often.repeat = GENERATE(int64_t{1} << 30, int64_t{1} << 62);
  REQUIRE_THAT(error_of<JobError>([&] { prepare(job_with(folder, {often}), nullptr, test_vocab_size); }),
               Catch::StartsWith("[dataset.often] repeat: ") && Catch::Contains("times 3 samples"));
}

TEST_CASE("inspect puts the tokens that carry loss in brackets", "[inspect]") {
  const TemporaryFolder folder;
  const Path file = folder.write("a.jsonl", three_lines);
  const PreparedSet set(prepared_path(job_with(folder, {dataset("d", file)})), "train");
  REQUIRE(describe_samples(set, nullptr, 1, false) ==
          "sample 1 of 3 (" + file.string() + ":1): 3 tokens, 2 carry loss\n1[2][3]\n\n");
}

TEST_CASE("inspect colours the tokens that carry loss", "[inspect]") {
  const TemporaryFolder folder;
  const PreparedSet set(prepared_path(job_with(folder, {dataset("d", folder.write("a.jsonl", three_lines))})), "train");
  REQUIRE_THAT(describe_samples(set, nullptr, 1, true), Catch::Contains("\x1b[32m2\x1b"));
}
