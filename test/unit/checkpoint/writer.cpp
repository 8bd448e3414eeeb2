#include <catch2/catch.hpp>

#include "base/error.h"
#include "support/temporary_folder.h"
#include "unit/base/file_size_limit.h"
#include "unit/checkpoint/saved_model.h"

using namespace tessera;
using namespace tessera::test;
using Catch::Matchers::Contains;
using Status = CheckpointWriter::Status;
namespace fs = std::filesystem;

namespace {

/// One rank's writer that saves a model under the folder.
struct Saving {
  TemporaryFolder folder;
  TestModel model;
  std::unique_ptr<Device> device = make_cpu_device(1);
  CheckpointWriter writer{*device};

  void begin(int64_t step, bool async = true) {
    writer.begin(step_directory(folder.path(), step), info_of(step, 1), 0, model.slices(), async);
  }
  TestModel committed(int64_t step) {
    commit_checkpoint(folder.path(), info_of(step, 1), {writer.result()}, 0);
    return load(step_directory(folder.path(), step), model.even_bounds(1));
  }
};

}  // namespace

TEST_CASE("a writer that has nothing to do is idle") {
  CHECK(CheckpointWriter(*make_cpu_device(1)).status() == Status::idle);
}

TEST_CASE("a save on the thread and one before returning write the same file") {
  Saving threaded, direct;
  threaded.begin(100);
  direct.begin(100, false);
  CHECK(direct.writer.status() == Status::written);
  threaded.writer.wait();
  CHECK(threaded.writer.result().xxh3 == direct.writer.result().xxh3);
}

TEST_CASE("a save has the state at begin, whatever training does afterwards") {
  Saving saving;
  const TestModel at_begin = saving.model;
  saving.begin(100);
  saving.model.clear();
  saving.writer.wait();
  REQUIRE(saving.writer.status() == Status::written);
  CHECK(saving.committed(100) == at_begin);
}

TEST_CASE("a second save waits for the first and both can be read") {
  Saving saving;
  saving.begin(100);
  saving.begin(200);
  saving.writer.wait();
  CHECK(saving.committed(200) == saving.model);
  CHECK(fs::exists(step_directory(saving.folder.path(), 100) / "shard-00000-of-00001.h5"));
}

TEST_CASE("a written save is idle once it is acknowledged") {
  Saving saving;
  saving.begin(100);
  saving.writer.wait();
  saving.writer.acknowledge();
  CHECK(saving.writer.status() == Status::idle);
}

TEST_CASE("a full disk makes a save fail with a message that names the file and the remedy") {
  Saving saving;
  {
    const FileSizeLimit limit(20'000);
    saving.begin(100);
    saving.writer.wait();
  }
  CHECK(saving.writer.status() == Status::failed);
  CHECK_THAT(saving.writer.error(), Contains("step 100") && Contains("shard-00000-of-00001.h5") &&
                                        Contains("File too large") && Contains("save_total_limit"));
}

TEST_CASE("a disk that is full from the first byte makes a save fail, not crash") {
  Saving saving;
  {
    const FileSizeLimit limit(0);
    saving.begin(100);
    saving.writer.wait();
  }
  CHECK(saving.writer.status() == Status::failed);
}

TEST_CASE("after a full disk no half shard stays, and the same step can be written anew") {
  Saving saving;
  {
    const FileSizeLimit limit(20'000);
    saving.begin(100, false);
  }
  CHECK_FALSE(fs::exists(step_directory(saving.folder.path(), 100) / "shard-00000-of-00001.h5"));
  CHECK_FALSE(find_latest_checkpoint(saving.folder.path()).has_value());
  saving.writer.acknowledge();
  saving.begin(100);
  saving.writer.wait();
  CHECK(saving.committed(100) == saving.model);
}

TEST_CASE("a failed save that was not acknowledged is reported by the next one") {
  Saving saving;
  {
    const FileSizeLimit limit(20'000);
    saving.begin(100, false);
  }
  CHECK_THROWS_WITH(saving.begin(200), Contains("step 100"));
}

TEST_CASE("a slice outside its tensor is a mistake of the program") {
  const TemporaryFolder folder;
  TestModel model;
  auto slices = model.slices();
  slices[0].offset = 1;
  CHECK_THROWS_AS(write_shard(folder.path(), info_of(1, 1), 0, slices), std::logic_error);
}
