#include "base/files.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <optional>

#include "base/error.h"
#include "support/temporary_folder.h"
#include "unit/base/file_size_limit.h"

using namespace tessera;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

TEST_CASE("a durably written text is read back, whatever was there before") {
  const test::TemporaryFolder folder;
  for (const std::string& text : {std::string("first, and longer\n"), std::string(), std::string("b\0c", 3)}) {
    write_text_durably(folder / "latest", text);
    CHECK(read_text(folder / "latest") == text);
  }
}

TEST_CASE("durable writing leaves no temporary file") {
  const test::TemporaryFolder folder;
  write_text_durably(folder / "latest", "text");
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("when durable writing fails the old text stays") {
  const test::TemporaryFolder folder;
  write_text_durably(folder / "latest", "old");
  {
    const test::FileSizeLimit limit(100);
    CHECK_THROWS_WITH(write_text_durably(folder / "latest", std::string(1000, 'x')), Contains("File too large"));
  }
  CHECK(read_text(folder / "latest") == "old");
}

TEST_CASE("files that cannot be read or written are errors that name the path") {
  const test::TemporaryFolder folder;
  CHECK_THROWS_WITH(read_text(folder / "missing"), Contains("missing") && Contains("No such file"));
  CHECK_THROWS_WITH(read_text(folder.path()), Contains("directory"));
  CHECK_THROWS_WITH(write_text_durably(folder / "no/where", "x"), Contains("no/where"));
  CHECK_THROWS_AS(sync_file(folder / "missing"), DataError);
  CHECK_THROWS_AS(sync_folder(folder / "missing"), DataError);
}

TEST_CASE("a directory that cannot be made is a mistake of the setting that names it") {
  const test::TemporaryFolder folder;
  make_directory(folder / "a/b", "[job] output_dir");
  CHECK(fs::is_directory(folder / "a/b"));
  write_text_durably(folder / "file", "in the way");
  for (const auto& below : {folder / "file", folder / "file/below"})
    CHECK_THROWS_WITH(make_directory(below, "[job] output_dir"),
                      Contains("[job] output_dir: ") && Contains(below.string()) && Contains("ot a directory"));
}

TEST_CASE("a place is where something can be made, and nothing is made there by asking") {
  const test::TemporaryFolder folder;
  CHECK_NOTHROW(require_place(folder / "a/b", "[checkpoint] export_dir"));
  CHECK_FALSE(fs::exists(folder / "a"));
  write_text_durably(folder / "file", "in the way");
  for (const auto& below : {folder / "file", folder / "file/below/it"})
    CHECK_THROWS_AS(require_place(below, "[checkpoint] export_dir"), JobError);
}

TEST_CASE("a held lock is refused to others, with their message, until it is let go") {
  const test::TemporaryFolder folder;
  std::optional<FileLock> lock(std::in_place, folder / "lock", FileLock::Wait::no);
  CHECK_THROWS_WITH(FileLock(folder / "lock", FileLock::Wait::no, "busy: somebody prepares"),
                    "busy: somebody prepares");
  lock.reset();
  CHECK_NOTHROW(FileLock(folder / "lock", FileLock::Wait::no));
}

TEST_CASE("a moved lock is held by its new owner") {
  const test::TemporaryFolder folder;
  std::optional<FileLock> first(std::in_place, folder / "lock", FileLock::Wait::no);
  const FileLock second(std::move(*first));
  first.reset();
  CHECK_THROWS_AS(FileLock(folder / "lock", FileLock::Wait::no, "busy"), JobError);
}
