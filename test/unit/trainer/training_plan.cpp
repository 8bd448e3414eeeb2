#include "trainer/training_plan.h"

#include <catch2/catch.hpp>
#include <set>

#include "base/error.h"

using namespace tessera;

namespace {

Job job_of(int64_t micro_batch, int64_t accumulation) {
  Job job;
  job.data.sequence_len = 10;
  job.data.sample_packing = false;
  job.train.micro_batch_size = micro_batch;
  job.train.gradient_accumulation_steps = accumulation;
  return job;
}

}  // namespace

TEST_CASE("An epoch's updates take every sample once, the last update what is left", "[trainer]") {
  TrainingPlan plan(std::vector<int32_t>(11, 5), job_of(2, 1), 2);
  REQUIRE(plan.total_steps() == 3);
  std::multiset<int32_t> seen;
  for (int64_t k = 1; k <= 3; ++k)
    for (const Sequence& sequence : plan.update(k).sequences) seen.insert(sequence.begin(), sequence.end());
  CHECK(seen.size() == 11);
  CHECK(std::set<int32_t>(seen.begin(), seen.end()).size() == 11);
  CHECK(plan.update(3).sequences.size() == 3);
}

TEST_CASE("max_steps runs through as many epochs as it takes", "[trainer]") {
  Job job = job_of(2, 1);
  job.train.max_steps = 7;
  TrainingPlan plan(std::vector<int32_t>(5, 5), job, 1);
  CHECK(plan.total_steps() == 7);
  CHECK(plan.update(3).epoch == 0);
  CHECK(plan.update(4).epoch == 1);
  CHECK(plan.update(7).epoch == 2);
}

TEST_CASE("A fraction of an epoch runs that fraction of its updates, rounded up", "[trainer]") {
  Job job = job_of(1, 1);
  job.train.num_epochs = 1.5;
  CHECK(TrainingPlan(std::vector<int32_t>(5, 5), job, 1).total_steps() == 8);
}

TEST_CASE("An update's sequences depend on the global batch, not on the ranks that share it", "[trainer]") {
  Job few = job_of(4, 2), many = job_of(2, 1);
  TrainingPlan one(std::vector<int32_t>(32, 5), few, 1), four(std::vector<int32_t>(32, 5), many, 4);
  for (int64_t k = 1; k <= 4; ++k) {
    const auto a = one.update(k).sequences, b = four.update(k).sequences;
    CHECK(std::vector<Sequence>(a.begin(), a.end()) == std::vector<Sequence>(b.begin(), b.end()));
  }
}

TEST_CASE("Micro-batches deal out every sequence once and never more than the micro-batch size to a rank",
          "[trainer]") {
  for (const int64_t count : {1, 2, 5, 7, 12, 13}) {
    const MicroBatches deal{count, 2, 3};
    std::vector<int> taken(static_cast<size_t>(count), 0);
    for (int64_t m = 0; m < deal.micro_batches(); ++m)
      for (int r = 0; r < 3; ++r) {
        const auto [begin, end] = deal.range(m, r);
        CHECK(end - begin <= 2);
        for (int64_t i = begin; i < end; ++i) ++taken[static_cast<size_t>(i)];
      }
    CHECK(taken == std::vector<int>(static_cast<size_t>(count), 1));
  }
}

TEST_CASE("A plan of a job without end is made at once", "[trainer]") {
  Job steps = job_of(2, 1), epochs = job_of(2, 1);
  steps.train.max_steps = 1'000'000'000'000;
  TrainingPlan plan(std::vector<int32_t>(5, 5), steps, 1);
  CHECK(plan.total_steps() == 1'000'000'000'000);
  CHECK(plan.update(1'000'000'000'000).epoch == 333'333'333'333);
  epochs.train.num_epochs = 1e6;
  CHECK(TrainingPlan(std::vector<int32_t>(5, 5), epochs, 1).total_steps() == 3'000'000);
}

TEST_CASE("Too many sequences in an update are a JobError", "[trainer]") {
  const std::vector<int32_t> lengths(5, 5);
  CHECK_THROWS_AS(TrainingPlan(lengths, job_of(1'000'000, 1'000), 2), JobError);
  CHECK_THROWS_AS(TrainingPlan(lengths, job_of(int64_t{1} << 40, int64_t{1} << 40), 2), JobError);
  CHECK(TrainingPlan(lengths, job_of(1'000'000, 1'000), 1).total_steps() == 1);
}

TEST_CASE("A plan has supervision where one of its updates takes a sample with a token that carries loss",
          "[trainer]") {
  Job job = job_of(1, 1);
  job.data.shuffle = false;
  const std::vector<int32_t> lengths(4, 5), last = {0, 0, 0, 3}, none(4, 0);
  TrainingPlan epoch(lengths, job, 1);
  CHECK(has_supervision(epoch, last));
  CHECK_FALSE(has_supervision(epoch, none));
  job.train.max_steps = 3;
  TrainingPlan without_the_last(lengths, job, 1);
  CHECK_FALSE(has_supervision(without_the_last, last));
  job.train.max_steps = 9;
  TrainingPlan long_one(lengths, job, 1);
  CHECK(has_supervision(long_one, last));
  CHECK_FALSE(has_supervision(long_one, none));
}
