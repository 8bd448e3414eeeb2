// What saves take away, and what they leave alone.
#include "checkpoint/rotation.h"

#include <catch2/catch.hpp>

#include "base/error.h"
#include "checkpoint/manifest.h"
#include "support/temporary_folder.h"
#include "unit/checkpoint/damage.h"
#include "unit/checkpoint/saved_model.h"

using namespace tessera;
using namespace tessera::test;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

/// output_dir with a checkpoint outside of it, as somebody would archive one.
struct Place {
  TemporaryFolder folder;
  TestModel model;
  fs::path output = folder / "out";
  fs::path archived = save(folder / "archive", model, 1);

  fs::path directory(int64_t step) const { return step_directory(output, step); }
  fs::path incomplete(int64_t step) {
    write_shards(output, model, step, model.even_bounds(2));
    return directory(step);
  }
  bool archive_is_whole() { return load(archived, model.even_bounds(1)) == model; }
};

bool is_link(const fs::path& path) { return fs::is_symlink(fs::symlink_status(path)); }

}  // namespace

TEST_CASE("save_total_limit neither follows, removes nor counts a link among the checkpoints") {
  Place place;
  save(place.output, place.model, 5);
  fs::create_directory_symlink(place.archived, place.directory(1));
  save(place.output, place.model, 6, 1, 1);
  CHECK(place.archive_is_whole());
  CHECK(is_link(place.directory(1)));
  CHECK_FALSE(fs::exists(place.directory(5)));
}

TEST_CASE("save_total_limit keeps what has the manifest of another step, or one that cannot be read") {
  Place place;
  fs::create_directories(place.output / "checkpoints");
  fs::copy(place.archived, place.directory(3));
  save(place.output, place.model, 4);
  put(place.directory(4) / "manifest.json", "{");
  save(place.output, place.model, 9, 1, 1);
  CHECK(fs::exists(place.directory(3) / "manifest.json"));
  CHECK(fs::exists(place.directory(4) / shard_name(0, 1)));
}

TEST_CASE("a foreign file keeps an old checkpoint's directory, which stops being a checkpoint") {
  Place place;
  const fs::path old = save(place.output, place.model, 1, 2);
  put(old / "notes.txt", "mine");
  save(place.output, place.model, 2, 2, 1);
  CHECK(bytes_of(old / "notes.txt") == "mine");
  CHECK_FALSE(fs::exists(old / "manifest.json"));
  CHECK_FALSE(fs::exists(old / shard_name(0, 2)));
}

TEST_CASE("a link in the place of a shard is removed with its checkpoint; its target stays") {
  Place place;
  const fs::path old = save(place.output, place.model, 1);
  fs::rename(old / shard_name(0, 1), place.folder / "moved.h5");
  fs::create_symlink(place.folder / "moved.h5", old / shard_name(0, 1));
  save(place.output, place.model, 2, 1, 1);
  CHECK(fs::exists(place.folder / "moved.h5"));
  CHECK_FALSE(fs::exists(old / "manifest.json"));
}

TEST_CASE("resuming never takes a linked checkpoint, and says so if latest names it") {
  Place place;
  save(place.output, place.model, 5);
  fs::create_directory_symlink(place.archived, place.directory(9));
  fs::remove(place.output / "checkpoints/latest");
  CHECK(find_latest_checkpoint(place.output) == place.directory(5));
  put(place.output / "checkpoints/latest", "step-000009\n");
  CHECK_THROWS_WITH(find_latest_checkpoint(place.output), Contains("step-000009: is a symbolic link"));
}

TEST_CASE("an impossible name in latest is ignored") {
  Place place;
  save(place.output, place.model, 5);
  for (const std::string& name : std::vector<std::string>{"step-" + std::string(3000, '0') + "1", "step-5",
                                                          "step-0000005", "step-99999999999999999999"}) {
    put(place.output / "checkpoints/latest", name);
    CHECK(find_latest_checkpoint(place.output) == place.directory(5));
  }
}

TEST_CASE("a save writes through no link at any of its names") {
  Place place;
  const fs::path victim = place.folder.write("victim", "untouched");
  fs::create_directories(place.directory(5));
  for (const char* name :
       {"shard-00000-of-00001.h5", "manifest.json", "manifest.json.tmp", "../latest", "../latest.tmp"})
    fs::create_symlink(victim, place.directory(5) / name);
  save(place.output, place.model, 5);
  CHECK(bytes_of(victim) == "untouched");
  CHECK(load(place.directory(5), place.model.even_bounds(1)) == place.model);
  CHECK_FALSE(is_link(place.directory(5) / shard_name(0, 1)));
}

TEST_CASE("a save makes a directory in the place of a link at its name") {
  Place place;
  fs::create_directories(place.output / "checkpoints");
  fs::create_directory_symlink(place.archived, place.directory(1));
  TestModel other(2);
  save(place.output, other, 1);
  CHECK(place.archive_is_whole());
  CHECK(load(place.directory(1), other.even_bounds(1)) == other);
}

TEST_CASE("a file in the place of a checkpoint's directory is an error that names it") {
  Place place;
  fs::create_directories(place.output / "checkpoints");
  put(place.directory(1), "in the way");
  CHECK_THROWS_WITH(save(place.output, place.model, 1), Contains(place.directory(1).string()));
  CHECK(bytes_of(place.directory(1)) == "in the way");
}

TEST_CASE("leftovers of unfinished saves are removed before the next one") {
  Place place;
  const fs::path killed = place.incomplete(3);
  put(killed / "manifest.json.tmp", "{\"format\"");
  const fs::path empty = place.directory(4);
  fs::create_directories(empty);
  remove_leftovers(place.directory(7));
  CHECK_FALSE(fs::exists(killed));
  CHECK_FALSE(fs::exists(empty));
}

TEST_CASE("leftovers of this step are taken away by its save: a temporary manifest, shards of other numbers of ranks") {
  Place place;
  put(place.incomplete(3) / "manifest.json.tmp", "{");
  prepare_step_directory(place.directory(3), 1);
  CHECK(fs::is_empty(place.directory(3)));
}

TEST_CASE("files that an unfinished save cannot have left stay, with their directory") {
  Place place;
  const fs::path whole = save(place.output, place.model, 1);
  const fs::path with_notes = place.incomplete(2);
  put(with_notes / "notes.txt", "mine");
  const fs::path with_other_shard = place.incomplete(3);
  put(with_other_shard / "shard-backup.h5", "mine");
  const fs::path with_link = place.incomplete(4);
  fs::create_symlink(place.archived / shard_name(0, 1), with_link / "shard-00000-of-00001.h5");
  fs::create_directory_symlink(place.archived, place.directory(5));
  const fs::path other_name = place.output / "checkpoints/step-6";
  fs::create_directories(other_name);
  const fs::path own = place.incomplete(7);
  remove_leftovers(own);
  for (const fs::path& directory : {whole, with_notes, with_other_shard, with_link, own})
    CHECK(fs::exists(directory / (directory == whole ? "manifest.json" : "shard-00001-of-00002.h5")));
  CHECK(fs::exists(other_name));
  CHECK(is_link(place.directory(5)));
  CHECK(place.archive_is_whole());
}
