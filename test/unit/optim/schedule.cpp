#include "optim/schedule.h"

#include <catch2/catch.hpp>
#include <cmath>

using namespace tessera;

namespace {

TrainSettings settings(Scheduler scheduler, int64_t warmup) {
  TrainSettings s;
  s.learning_rate = 2;
  s.lr_scheduler = scheduler;
  s.warmup_steps = warmup;
  return s;
}

}  // namespace

TEST_CASE("A warm-up begins at rate 0 and reaches the full rate after its steps", "[optim]") {
  for (const Scheduler scheduler : {Scheduler::linear, Scheduler::cosine, Scheduler::constant_with_warmup}) {
    const TrainSettings s = settings(scheduler, 4);
    CHECK(learning_rate_at(s, 1, 20) == 0);
    CHECK(learning_rate_at(s, 3, 20) == Approx(1.0));
    CHECK(learning_rate_at(s, 5, 20) == Approx(2.0));
  }
}

TEST_CASE("constant ignores the warm-up", "[optim]") {
  CHECK(learning_rate_at(settings(Scheduler::constant, 4), 1, 20) == 2);
}

TEST_CASE("linear falls to 0 one step after the last", "[optim]") {
  const TrainSettings s = settings(Scheduler::linear, 0);
  CHECK(learning_rate_at(s, 10, 10) == Approx(0.2));
  CHECK(learning_rate_at(s, 11, 10) == Approx(0.0));
}

TEST_CASE("cosine passes half of the rate in the middle", "[optim]") {
  CHECK(learning_rate_at(settings(Scheduler::cosine, 2), 8, 12) == Approx(1.0));
}

TEST_CASE("cosine_with_min_lr ends at its floor", "[optim]") {
  TrainSettings s = settings(Scheduler::cosine_with_min_lr, 0);
  s.min_lr_rate = 0.1;
  CHECK(learning_rate_at(s, 11, 10) == Approx(0.2));
}

TEST_CASE("inverse_sqrt falls with the root of the step, counted in warm-ups", "[optim]") {
  const TrainSettings s = settings(Scheduler::inverse_sqrt, 4);
  CHECK(learning_rate_at(s, 5, 100) == Approx(2.0));
  CHECK(learning_rate_at(s, 17, 100) == Approx(2.0 * std::sqrt(4.0 / 16)));
}

TEST_CASE("warmup_stable_decay stays level until its decay", "[optim]") {
  TrainSettings s = settings(Scheduler::warmup_stable_decay, 2);
  s.num_decay_steps = 4;
  CHECK(learning_rate_at(s, 3, 10) == Approx(2.0));
  CHECK(learning_rate_at(s, 7, 10) == Approx(2.0));
  CHECK(learning_rate_at(s, 9, 10) == Approx(1.0));
  CHECK(learning_rate_at(s, 11, 10) == Approx(0.0));
}

TEST_CASE("warmup_ratio is rounded up to whole steps", "[optim]") {
  TrainSettings s = settings(Scheduler::linear, 0);
  s.warmup_ratio = 0.03;
  CHECK(warmup_steps(s, 100) == 3);
  CHECK(warmup_steps(s, 101) == 4);
}
