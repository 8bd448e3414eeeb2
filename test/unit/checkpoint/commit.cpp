#include <catch2/catch.hpp>

#include "base/error.h"
#include "support/temporary_folder.h"
#include "unit/checkpoint/damage.h"
#include "unit/checkpoint/saved_model.h"

using namespace tessera;
using namespace tessera::test;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

TEST_CASE("steps and shards are named so that they sort") {
  CHECK(step_directory("out", 100) == fs::path("out/checkpoints/step-000100"));
  CHECK(step_directory("out", 12345678) == fs::path("out/checkpoints/step-12345678"));
  CHECK(shard_name(3, 16) == "shard-00003-of-00016.h5");
}

TEST_CASE("where nothing was saved there is no latest checkpoint") {
  const TemporaryFolder folder;
  CHECK_FALSE(find_latest_checkpoint(folder.path()).has_value());
}

TEST_CASE("the latest checkpoint is the one committed last") {
  const TemporaryFolder folder;
  TestModel model;
  save(folder.path(), model, 100);
  save(folder.path(), model, 200);
  CHECK(find_latest_checkpoint(folder.path()) == step_directory(folder.path(), 200));
  CHECK(bytes_of(folder / "checkpoints/latest") == "step-000200\n");
}

TEST_CASE("a directory without manifest is never the latest checkpoint") {
  const TemporaryFolder folder;
  TestModel model;
  save(folder.path(), model, 100);
  write_shards(folder.path(), model, 200, model.even_bounds(2));
  CHECK(find_latest_checkpoint(folder.path()) == step_directory(folder.path(), 100));
}

TEST_CASE("a directory without manifest is not read, and the error names a complete checkpoint") {
  const TemporaryFolder folder;
  TestModel model;
  save(folder.path(), model, 100);
  write_shards(folder.path(), model, 200, model.even_bounds(2));
  CHECK_THROWS_WITH(CheckpointReader(step_directory(folder.path(), 200)),
                    Contains("no manifest.json") && Contains("step-000100"));
}

TEST_CASE("when latest points to nothing, the newest complete checkpoint by step is taken") {
  const TemporaryFolder folder;
  TestModel model;
  for (int64_t step : {90, 1000000, 100}) save(folder.path(), model, step);
  for (const char* text : {"step-000777\n", "", "../../etc", "step-"}) {
    put(folder / "checkpoints/latest", text);
    CHECK(find_latest_checkpoint(folder.path()) == step_directory(folder.path(), 1000000));
  }
  fs::remove(folder / "checkpoints/latest");
  CHECK(find_latest_checkpoint(folder.path()) == step_directory(folder.path(), 1000000));
}

TEST_CASE("save_total_limit keeps the newest complete checkpoints") {
  const TemporaryFolder folder;
  TestModel model;
  for (int64_t step = 1; step <= 5; ++step) save(folder.path(), model, step, 2, 2);
  CHECK_FALSE(fs::exists(step_directory(folder.path(), 3)));
  CHECK(fs::exists(step_directory(folder.path(), 4) / "manifest.json"));
  CHECK(fs::exists(step_directory(folder.path(), 5) / "manifest.json"));
}

TEST_CASE("without a limit every checkpoint stays") {
  const TemporaryFolder folder;
  TestModel model;
  for (int64_t step = 1; step <= 5; ++step) save(folder.path(), model, step);
  for (int64_t step = 1; step <= 5; ++step) CHECK(fs::exists(step_directory(folder.path(), step) / "manifest.json"));
}

TEST_CASE("save_total_limit removes neither incomplete directories nor the checkpoint just written") {
  const TemporaryFolder folder;
  TestModel model;
  write_shards(folder.path(), model, 1, model.even_bounds(2));
  fs::create_directories(folder / "checkpoints/step-mine");
  put(folder / "checkpoints/step-mine/manifest.json", "{}");
  save(folder.path(), model, 300);
  save(folder.path(), model, 200, 1, 1);
  CHECK(fs::exists(step_directory(folder.path(), 1)));
  CHECK(fs::exists(folder / "checkpoints/step-mine/manifest.json"));
  CHECK(fs::exists(step_directory(folder.path(), 200)));
  CHECK_FALSE(fs::exists(step_directory(folder.path(), 300)));
}

TEST_CASE("no manifest is written while a shard is missing or of another size") {
  const TemporaryFolder folder;
  TestModel model;
  auto shards = write_shards(folder.path(), model, 100, model.even_bounds(2));
  const fs::path directory = step_directory(folder.path(), 100);
  ++shards[1].bytes;
  CHECK_THROWS_AS(commit_checkpoint(folder.path(), info_of(100, 2), shards, 0), DataError);
  --shards[1].bytes;
  fs::remove(directory / shards[1].name);
  CHECK_THROWS_WITH(commit_checkpoint(folder.path(), info_of(100, 2), shards, 0), Contains(shards[1].name));
  CHECK_FALSE(fs::exists(directory / "manifest.json"));
  CHECK_FALSE(fs::exists(folder / "checkpoints/latest"));
}

TEST_CASE("writing a step anew takes its manifest and the shards of other rank numbers away first") {
  const TemporaryFolder folder;
  TestModel model;
  const fs::path directory = save(folder.path(), model, 100, 3);
  write_shard(directory, info_of(100, 2), 0, model.slices(0, model.size / 2));
  CHECK_FALSE(fs::exists(directory / "manifest.json"));
  CHECK_FALSE(fs::exists(directory / "shard-00002-of-00003.h5"));
  CHECK(load(save(folder.path(), model, 100, 2), model.even_bounds(1)) == model);
}
