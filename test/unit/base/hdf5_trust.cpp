// HDF5 files that only a stranger would write: what would have something else read than what lies in the file.
#include <catch2/catch.hpp>
#include <fstream>
#include <functional>
#include <vector>

#include "base/error.h"
#include "base/hdf5.h"
#include "support/temporary_folder.h"

using namespace tessera;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

const std::vector<int32_t> values = {1, 2, 3, 4};

/// A file with /group/values, and what `change` does to it by the library's own calls.
fs::path file_with(const test::TemporaryFolder& folder, const std::function<void(hid_t)>& change) {
  const fs::path path = folder / "a.h5";
  auto file = hdf5::File::create(path);
  file.write("/group/values", values.data(), 4);
  file.write_attribute("/group", "count", int64_t{4});
  file.close();
  const hid_t open = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  REQUIRE(open >= 0);
  change(open);
  REQUIRE(H5Fclose(open) >= 0);
  return path;
}

/// Makes /data in the file: int32, `count` of them, as `set` says of its creation properties.
void create_data(hid_t file, hsize_t count, const std::function<void(hid_t)>& set) {
  const hid_t space = H5Screate_simple(1, &count, nullptr), properties = H5Pcreate(H5P_DATASET_CREATE);
  set(properties);
  const hid_t data = H5Dcreate2(file, "/data", H5T_STD_I32LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
  REQUIRE(data >= 0);
  H5Dclose(data);
  H5Pclose(properties);
  H5Sclose(space);
}

int32_t first_of(const fs::path& path, const std::string& dataset) {
  int32_t value = 0;
  hdf5::File::open_read(path).read(dataset, 0, 1, &value);
  return value;
}

}  // namespace

TEST_CASE("links that could lead out of an HDF5 file are never followed") {
  const test::TemporaryFolder folder;
  const fs::path path = file_with(folder, [&](hid_t file) {
    const std::string other = (folder / "other.h5").string();
    REQUIRE(H5Lcreate_external(other.c_str(), "/group", file, "/external", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    REQUIRE(H5Lcreate_soft("/group", file, "/soft", H5P_DEFAULT, H5P_DEFAULT) >= 0);
  });
  fs::copy_file(path, folder / "other.h5");
  const auto file = hdf5::File::open_read(path);
  for (const std::string link : {"/external", "/soft"}) {
    const auto refuses = Contains("a.h5: " + link + ": is a link");
    CHECK_THROWS_WITH(first_of(path, link + "/values"), refuses);
    CHECK_THROWS_WITH(file.size(link + "/values"), refuses);
    CHECK_THROWS_WITH(file.byte_offset(link + "/values", hdf5::Type::int32), refuses);
    CHECK_THROWS_WITH(file.read_int(link, "count"), refuses);
    CHECK_THROWS_WITH(file.has_attribute(link, "count"), refuses);
    CHECK_THROWS_WITH(file.names(link), refuses);
  }
  CHECK(first_of(path, "/group/values") == 1);
}

TEST_CASE("a data set whose bytes lie in another file is refused") {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "secret") << "what is not ours to read";
  const std::string secret = (folder / "secret").string();
  const fs::path path = file_with(folder, [&](hid_t file) {
    create_data(file, 4, [&](hid_t p) { REQUIRE(H5Pset_external(p, secret.c_str(), 0, 16) >= 0); });
  });
  CHECK_THROWS_WITH(first_of(path, "/data"), Contains("a.h5") && Contains("/data") && Contains("in other files"));
}

TEST_CASE("a virtual data set is refused") {
  const test::TemporaryFolder folder;
  const fs::path path = file_with(folder, [&](hid_t file) {
    const hsize_t four = 4;
    const hid_t space = H5Screate_simple(1, &four, nullptr);
    create_data(file, 4, [&](hid_t p) { REQUIRE(H5Pset_virtual(p, space, "other.h5", "/data", space) >= 0); });
    H5Sclose(space);
  });
  CHECK_THROWS_WITH(first_of(path, "/data"), Contains("a.h5") && Contains("/data"));
}

TEST_CASE("a data set under a filter is refused") {
  const test::TemporaryFolder folder;
  const fs::path path = file_with(folder, [](hid_t file) {
    create_data(file, 4, [](hid_t p) {
      const hsize_t chunk = 4;
      REQUIRE(H5Pset_chunk(p, 1, &chunk) >= 0);
      REQUIRE(H5Pset_fletcher32(p) >= 0);
    });
  });
  CHECK_THROWS_WITH(first_of(path, "/data"), Contains("a.h5") && Contains("/data") && Contains("filtered"));
}

TEST_CASE("an extent beyond the file's size is refused before memory is allocated") {
  const test::TemporaryFolder folder;
  const hsize_t claimed = GENERATE(hsize_t{1} << 40, hsize_t{1} << 60);
  const bool chunked = GENERATE(true, false);
  const fs::path path = file_with(folder, [&](hid_t file) {
    create_data(file, claimed, [&](hid_t p) {
      const hsize_t chunk = 1024;
      if (chunked) REQUIRE(H5Pset_chunk(p, 1, &chunk) >= 0);
    });
  });
  CHECK_THROWS_WITH(hdf5::File::open_read(path).size("/data"), Contains("a.h5") && Contains("does not have the bytes"));
}

TEST_CASE("an attribute of many numbers is refused where a shape is asked for") {
  const test::TemporaryFolder folder;
  const fs::path path = file_with(folder, [](hid_t file) {
    const hsize_t count = 5000;
    const std::vector<int64_t> numbers(count, 1);
    const hid_t space = H5Screate_simple(1, &count, nullptr);
    const hid_t attribute = H5Acreate2(file, "global_shape", H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    REQUIRE(H5Awrite(attribute, H5T_NATIVE_INT64, numbers.data()) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
  });
  CHECK_THROWS_WITH(hdf5::File::open_read(path).read_ints("/", "global_shape"), Contains("claims 5000 numbers"));
}

TEST_CASE("a file of the checksummed layout has its texts outside the heap, and others are refused there") {
  const test::TemporaryFolder folder;
  using hdf5::Layout;
  for (const Layout layout : {Layout::v18, Layout::checksummed}) {
    auto file = hdf5::File::create(folder / "a.h5", layout);
    for (const auto& [name, text] : {std::pair<std::string, std::string>{"key", "größer"}, {"empty", ""}})
      file.write_attribute("/", name, std::string_view(text));
    file.write_attribute("/", "long", std::string_view(std::string(100'000, 'x')));
    file.close();
    if (layout == Layout::v18) {
      CHECK_THROWS_WITH(hdf5::File::open_read(folder / "a.h5", Layout::checksummed).read_string("/", "key"),
                        Contains("variable-length"));
      continue;
    }
    const auto again = hdf5::File::open_read(folder / "a.h5", Layout::checksummed);
    CHECK(again.read_string("/", "key") == "größer");
    CHECK(again.read_string("/", "empty").empty());
    CHECK(again.read_string("/", "long") == std::string(100'000, 'x'));
    std::ifstream raw(folder / "a.h5", std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(raw), {});
    CHECK(bytes.find("GCOL") == std::string::npos);
  }
}

TEST_CASE("creating an HDF5 file replaces a link at its name and leaves its target alone") {
  const test::TemporaryFolder folder;
  const fs::path victim = folder.write("victim", "untouched");
  fs::create_symlink(victim, folder / "a.h5");
  file_with(folder, [](hid_t) {});
  CHECK(fs::is_regular_file(fs::symlink_status(folder / "a.h5")));
  std::ifstream read(victim);
  CHECK(std::string(std::istreambuf_iterator<char>(read), {}) == "untouched");
}

TEST_CASE("a name in an HDF5 file that is not UTF-8 is refused, a text is not") {
  const test::TemporaryFolder folder;
  for (const hdf5::Layout layout : {hdf5::Layout::v18, hdf5::Layout::checksummed}) {
    auto file = hdf5::File::create(folder / "a.h5", layout);
    file.create_group("/group/b\xFF");
    file.write_attribute("/", "source", std::string_view("a\xFF.jsonl"));  // a file may have such a name
    file.close();
    const auto again = hdf5::File::open_read(folder / "a.h5", layout);
    CHECK_THROWS_WITH(again.names("/group"), Contains("a.h5: /group: the name of a member is not UTF-8"));
    CHECK(again.read_string("/", "source") == "a\xFF.jsonl");
  }
}
