#include "base/files.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <optional>

#include "base/error.h"
#include "base/hash.h"
#include "base/hdf5.h"
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

TEST_CASE("when durable writing fails no temporary file stays") {
  const test::TemporaryFolder folder;
  {
    const test::FileSizeLimit limit(100);
    CHECK_THROWS_AS(write_text_durably(folder / "latest", std::string(1000, 'x')), DataError);
  }
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("durable writing follows a link neither at the name nor at the temporary one") {
  const test::TemporaryFolder folder;
  for (const char* name : {"latest", "latest.tmp"}) {
    const fs::path victim = folder.write("victim", "untouched");
    fs::create_symlink(victim, folder / name);
    write_text_durably(folder / "latest", "new");
    CHECK(read_text(victim) == "untouched");
    CHECK(read_text(folder / "latest") == "new");
    CHECK(fs::is_regular_file(fs::symlink_status(folder / "latest")));
    fs::remove(folder / "latest");
  }
}

TEST_CASE("files that cannot be read or written are errors that name the path") {
  const test::TemporaryFolder folder;
  CHECK_THROWS_WITH(read_text(folder / "missing"), Contains("missing") && Contains("No such file"));
  CHECK_THROWS_WITH(read_text(folder.path()), Contains("directory"));
  CHECK_THROWS_WITH(write_text_durably(folder / "no/where", "x"), Contains("no/where"));
  CHECK_THROWS_AS(sync_file(folder / "missing"), DataError);
  CHECK_THROWS_AS(sync_folder(folder / "missing"), DataError);
}

TEST_CASE("anything but a regular file is refused at once, with its kind") {
  const test::TemporaryFolder folder;
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  fs::create_symlink("loop", folder / "loop");
  fs::create_symlink("pipe", folder / "to-pipe");
  CHECK_THROWS_WITH(InputFile(folder / "pipe"), Contains("pipe: is a pipe, not a regular file"));
  CHECK_THROWS_WITH(InputFile(folder / "to-pipe"), Contains("to-pipe: is a pipe"));
  CHECK_THROWS_WITH(InputFile(folder.path()), Contains("is a directory"));
  CHECK_THROWS_WITH(InputFile("/dev/zero"), Contains("/dev/zero: is a device"));
  CHECK_THROWS_WITH(InputFile(folder / "loop"), Contains("loop") && Contains("symbolic links"));
  CHECK_THROWS_WITH(InputFile(folder / std::string(5000, 'n')), Contains("name too long"));
  CHECK_THROWS_WITH(InputFile(std::string("a\0b", 3)), Contains("zero byte"));
}

TEST_CASE("every input is opened by InputFile") {
  const test::TemporaryFolder folder;
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(read_text(folder / "pipe"), Contains("is a pipe"));
  CHECK_THROWS_WITH(Hasher().update_file(folder / "pipe"), Contains("is a pipe"));
  CHECK_THROWS_WITH(hdf5::File::open_read(folder / "pipe"), Contains("is a pipe"));
}

TEST_CASE("the type of a path is known, or the error says why not") {
  const test::TemporaryFolder folder;
  write_text_durably(folder / "file", "text");
  fs::create_symlink("loop", folder / "loop");
  fs::create_symlink("nowhere", folder / "dangling");
  CHECK(is_there(folder / "file"));
  CHECK_FALSE(is_folder(folder / "file"));
  CHECK(is_folder(folder.path()));
  CHECK_FALSE(is_there(folder / "dangling"));
  CHECK_FALSE(is_there(folder / "file/below"));
  for (const fs::path& path : {folder / "loop", folder / std::string(5000, 'n')}) {
    CHECK_THROWS_WITH(is_there(path), Contains(path.string()));
    CHECK_THROWS_AS(is_folder(path), DataError);
  }
}

TEST_CASE("a text longer than its bound is refused before it is read whole") {
  const test::TemporaryFolder folder;
  write_text_durably(folder / "endless", "");
  fs::resize_file(folder / "endless", int64_t{1} << 40);  // sparse: takes no disk
  CHECK_THROWS_WITH(read_text(folder / "endless", 1 << 20), Contains("endless") && Contains("1048576"));
}

TEST_CASE("an input file is read in turn, to its end") {
  const test::TemporaryFolder folder;
  write_text_durably(folder / "file", "abcdef");
  InputFile file(folder / "file");
  CHECK(file.size() == 6);
  std::string text(4, ' ');
  CHECK(file.read(text.data(), 4) == 4);
  CHECK(text == "abcd");
  CHECK(file.read(text.data(), 4) == 2);
  CHECK(file.read(text.data(), 4) == 0);
}

TEST_CASE("a directory that cannot be created is a JobError that names the setting") {
  const test::TemporaryFolder folder;
  make_directory(folder / "a/b", "[job] output_dir");
  CHECK(fs::is_directory(folder / "a/b"));
  write_text_durably(folder / "file", "in the way");
  for (const auto& below : {folder / "file", folder / "file/below"})
    CHECK_THROWS_WITH(make_directory(below, "[job] output_dir"),
                      Contains("[job] output_dir: ") && Contains(below.string()) && Contains("ot a directory"));
}

TEST_CASE("require_place accepts a path that can be created, and creates nothing") {
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
