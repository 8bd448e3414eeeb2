// section.key=value on the command line.
#include <cstdlib>

#include "job_files.h"

using namespace tessera;

TEST_CASE("an override replaces the file's value", "[job]") {
  CHECK(job_of("[train]\nlearning_rate = 1\n", {"train.learning_rate=0.5"}).train.learning_rate == 0.5);
}

TEST_CASE("an override adds a key and a section that the file has not", "[job]") {
  CHECK(job_of("", {"log.logging_steps=7"}).log.logging_steps == 7);
}

TEST_CASE("the value that an override replaces may be wrong", "[job]") {
  CHECK(job_of("[train]\nmax_steps = many\n", {"train.max_steps=5"}).train.max_steps == 5);
}

TEST_CASE("of two overrides of one key the last counts", "[job]") {
  CHECK(job_of("", {"job.seed=1", "job.seed=2"}).job.seed == 2);
}

TEST_CASE("an override of a data set reaches the set of that name", "[job]") {
  const std::string sets = "[dataset.a]\npath = a\ntype = alpaca\n[dataset.b.c]\npath = b\ntype = alpaca\n";
  const Job job = job_of(sets, {"dataset.b.c.path=/elsewhere"});
  CHECK(job.datasets[1].path == "/elsewhere");
}

TEST_CASE("overrides can add a data set", "[job]") {
  const Job job = job_of("", {"eval_dataset.held.path=/x", "eval_dataset.held.type=alpaca"});
  CHECK(job.eval_datasets.at(0).name == "held");
  CHECK(job.eval_datasets.at(0).path == "/x");
}

TEST_CASE("relative paths of an override start at the current folder", "[job]") {
  CHECK(job_of("", {"model.base=elsewhere"}).model.base == std::filesystem::current_path() / "elsewhere");
}

TEST_CASE("an override is neither unquoted nor searched for comments", "[job]") {
  CHECK(job_of("", {"generate.prompt=\"a\" # b = c"}).generate.prompt == "\"a\" # b = c");
}

TEST_CASE("environment variables of an override are expanded", "[job]") {
  ::setenv("TESSERA_TEST_PLACE", "/somewhere", 1);
  CHECK(job_of("", {"model.base=${TESSERA_TEST_PLACE}/m"}).model.base == "/somewhere/m");
}

TEST_CASE("an override displaces the alternative that the file gives", "[job]") {
  const Job steps = job_of("[train]\nnum_epochs = 3\n", {"train.max_steps=5"});
  CHECK(steps.train.max_steps == 5);
  const Job epochs = job_of("[train]\nmax_steps = 5\n", {"train.num_epochs=3"});
  CHECK(epochs.train.max_steps == 0);
  CHECK(epochs.train.num_epochs == 3);
}

TEST_CASE("an override that is 0 does not displace the alternative", "[job]") {
  CHECK(job_of("[train]\nnum_epochs = 3\n", {"train.max_steps=0"}).train.num_epochs == 3);
}

TEST_CASE("alternatives that are both overrides exclude each other", "[job]") {
  CHECK(error_of("", {"train.num_epochs=3", "train.max_steps=5"}) ==
        "override train.max_steps=5: [train] max_steps: excludes num_epochs, which is set too (override "
        "train.num_epochs=3); remove "
        "one of the two");
}

TEST_CASE("an override with a mistake is named as it was written", "[job]") {
  CHECK(error_of("", {"train.optimiser=3"}) ==
        "override train.optimiser=3: [train] optimiser: no such key; did you mean optimizer?");
  CHECK(error_of("", {"trian.max_steps=3"}) ==
        "override trian.max_steps=3: [trian]: no such section; did you mean [train]?");
  CHECK(error_of("", {"train.max_steps=x"}) ==
        "override train.max_steps=x: [train] max_steps: x; expected a whole number from 0 to 1000000000000");
  CHECK(error_of("", {"train.max_steps"}) == "override train.max_steps: expected section.key=value");
  CHECK(error_of("", {"max_steps=3"}) == "override max_steps=3: expected section.key=value");
  CHECK(error_of("", {"dataset.a.path=/x"}) ==
        "override dataset.a.path=/x: [dataset.a] type: missing; expected chat_template, completion, alpaca, "
        "input_output, tokenized, user_defined, or another type (docs/data.md#types). "
        "Sample format.");
}

TEST_CASE("an override's variable that is not set is an error that names it", "[job]") {
  ::unsetenv("TESSERA_TEST_UNSET");
  CHECK(error_of("", {"model.base=${TESSERA_TEST_UNSET}"}) ==
        "override model.base=${TESSERA_TEST_UNSET}: [model] base: the environment variable TESSERA_TEST_UNSET is not "
        "set");
}
