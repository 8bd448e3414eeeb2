#include "base/hdf5.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <numeric>
#include <thread>

#include "base/error.h"
#include "support/temporary_folder.h"
#include "unit/base/file_size_limit.h"

using namespace tessera;
using Catch::Matchers::Contains;

namespace {

std::vector<float> counting(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  std::iota(values.begin(), values.end(), 0.5f);
  return values;
}

hdf5::File file_with_attributes(const std::filesystem::path& path) {
  auto file = hdf5::File::create(path);
  file.create_group("/tensors/a.weight");
  file.write_attribute("/", "step", int64_t{-7});
  file.write_attribute("/tensors/a.weight", "xxh3", ~uint64_t{0});
  file.write_attribute("/", "job", std::string_view("[job]\nseed = 1 ; größer"));
  file.write_attribute("/tensors/a.weight", "global_shape", std::vector<int64_t>{3, 1LL << 40});
  file.close();
  return hdf5::File::open_read(path);
}

}  // namespace

TEST_CASE("attributes of an HDF5 file come back as they were written") {
  const test::TemporaryFolder folder;
  const auto file = file_with_attributes(folder / "a.h5");
  CHECK(file.read_int("/", "step") == -7);
  CHECK(file.read_uint("/tensors/a.weight", "xxh3") == ~uint64_t{0});
  CHECK(file.read_string("/", "job") == "[job]\nseed = 1 ; größer");
  CHECK(file.read_ints("/tensors/a.weight", "global_shape") == std::vector<int64_t>{3, 1LL << 40});
}

TEST_CASE("a missing attribute is an error that names file, object and attribute") {
  const test::TemporaryFolder folder;
  const auto file = file_with_attributes(folder / "a.h5");
  CHECK_THROWS_WITH(file.read_int("/tensors/a.weight", "offset"),
                    Contains("a.h5") && Contains("/tensors/a.weight") && Contains("offset"));
}

TEST_CASE("an attribute of another type is an error") {
  const test::TemporaryFolder folder;
  const auto file = file_with_attributes(folder / "a.h5");
  CHECK_THROWS_AS(file.read_int("/", "job"), DataError);
  CHECK_THROWS_AS(file.read_uint("/", "step"), DataError);
  CHECK_THROWS_AS(file.read_string("/", "step"), DataError);
  CHECK_THROWS_AS(file.read_int("/tensors/a.weight", "global_shape"), DataError);
}

TEST_CASE("a string attribute may be longer than 64 KiB") {
  const test::TemporaryFolder folder;
  const std::string text(300'000, 'x');
  auto file = hdf5::File::create(folder / "a.h5");
  file.write_attribute("/", "job", text);
  file.close();
  CHECK(hdf5::File::open_read(folder / "a.h5").read_string("/", "job") == text);
}

TEST_CASE("names lists the members of a group in name order, and exists knows them") {
  const test::TemporaryFolder folder;
  auto file = hdf5::File::create(folder / "a.h5");
  for (const char* name : {"/tensors/b", "/tensors/a", "/tensors/c/d"}) file.create_group(name);
  CHECK(file.names("/tensors") == std::vector<std::string>{"a", "b", "c"});
  CHECK(file.exists("/"));
  CHECK(file.exists("/tensors/c/d"));
  CHECK_FALSE(file.exists("/tensors/c/e"));
  CHECK_FALSE(file.exists("/nothing/at/all"));
}

TEST_CASE("any part of a data set can be read") {
  const test::TemporaryFolder folder;
  const auto values = counting(1000);
  auto file = hdf5::File::create(folder / "a.h5");
  file.write("/group/values", values.data(), 1000);
  file.close();
  const auto again = hdf5::File::open_read(folder / "a.h5");
  REQUIRE(again.size("/group/values") == 1000);
  for (auto [offset, count] : {std::pair{0, 1000}, {0, 1}, {999, 1}, {17, 500}, {1000, 0}}) {
    std::vector<float> part(static_cast<size_t>(count));
    again.read("/group/values", offset, count, part.data());
    CHECK(std::equal(part.begin(), part.end(), values.begin() + offset));
  }
}

TEST_CASE("reading beyond the end of a data set, or as another type, is an error") {
  const test::TemporaryFolder folder;
  const auto values = counting(10);
  auto file = hdf5::File::create(folder / "a.h5");
  file.write("/values", values.data(), 10);
  std::vector<float> out(20);
  std::vector<double> doubles(20);
  CHECK_THROWS_WITH(file.read("/values", 5, 6, out.data()), Contains("a.h5") && Contains("/values"));
  CHECK_THROWS_AS(file.read("/values", -1, 2, out.data()), DataError);
  CHECK_THROWS_AS(file.read("/values", 0, 10, doubles.data()), DataError);
  CHECK_THROWS_AS(file.read("/others", 0, 1, out.data()), DataError);
}

TEST_CASE("a growing data set holds the appended pieces one after the other") {
  const test::TemporaryFolder folder;
  auto file = hdf5::File::create(folder / "a.h5");
  file.create_growing("/ids", hdf5::Type::int32, 64);
  std::vector<int32_t> expected;
  for (int32_t piece = 0; piece < 50; ++piece) {
    const std::vector<int32_t> ids(static_cast<size_t>(piece), piece);
    file.append("/ids", ids.data(), piece);
    expected.insert(expected.end(), ids.begin(), ids.end());
  }
  file.close();
  const auto again = hdf5::File::open_read(folder / "a.h5");
  REQUIRE(again.size("/ids") == static_cast<int64_t>(expected.size()));
  std::vector<int32_t> out(expected.size());
  again.read("/ids", 0, again.size("/ids"), out.data());
  CHECK(out == expected);
}

TEST_CASE("bytes written where a contiguous data set is given its room are what it holds") {
  const test::TemporaryFolder folder;
  const auto values = counting(5000);
  auto file = hdf5::File::create(folder / "a.h5");
  file.create_contiguous("/tensors/a/master", hdf5::Type::float32, 5000);
  file.create_contiguous("/tensors/a/exp_avg", hdf5::Type::float32, 7);
  const int64_t offset = file.allocate("/tensors/a/master");
  CHECK(file.byte_offset("/tensors/a/master", hdf5::Type::float32) == offset);
  file.close();
  std::fstream raw(folder / "a.h5", std::ios::in | std::ios::out | std::ios::binary);
  raw.seekp(offset).write(reinterpret_cast<const char*>(values.data()), 5000 * sizeof(float));
  raw.close();
  std::vector<float> out(5000);
  hdf5::File::open_read(folder / "a.h5").read("/tensors/a/master", 0, 5000, out.data());
  CHECK(out == values);
}

TEST_CASE("rooms that are allocated last fill the file to its end, without a gap") {
  const test::TemporaryFolder folder;
  auto file = hdf5::File::create(folder / "a.h5");
  file.write_attribute("/", "job", std::string_view(std::string(5000, 'x')));
  std::vector<int64_t> counts = {3, 1000, 1, 100'000, 7};
  counts.resize(GENERATE(1, 5, 60, 700), 11);
  const auto name = [](size_t i) { return "/tensors/" + std::to_string(i) + "/master"; };
  for (size_t i = 0; i < counts.size(); ++i) {
    file.create_contiguous(name(i), hdf5::Type::float32, counts[i]);
    file.write_attribute(name(i), "xxh3", uint64_t{i});
  }
  file.flush();
  int64_t end = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const int64_t offset = file.allocate(name(i));
    if (i > 0) CHECK(offset == end);
    end = offset + counts[i] * 4;
  }
  file.close();
  CHECK(end == static_cast<int64_t>(std::filesystem::file_size(folder / "a.h5")));
}

TEST_CASE("byte_offset refuses a chunked data set") {
  const test::TemporaryFolder folder;
  auto file = hdf5::File::create(folder / "a.h5");
  file.create_growing("/ids", hdf5::Type::int32, 64);
  CHECK_THROWS_AS(file.byte_offset("/ids", hdf5::Type::int32), DataError);
}

TEST_CASE("opening a file that is not HDF5 is an error that names it") {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "a.h5") << "not HDF5 at all";
  CHECK_THROWS_WITH(hdf5::File::open_read(folder / "a.h5"), Contains("a.h5"));
  CHECK_THROWS_WITH(hdf5::File::open_read(folder / "missing.h5"), Contains("No such file"));
}

TEST_CASE("a disk that fills up while an HDF5 file is written is an error, and the library still works") {
  const test::TemporaryFolder folder;
  const auto write_much = [&] {
    const test::FileSizeLimit limit(100'000);
    auto file = hdf5::File::create(folder / "full.h5");
    file.create_growing("/ids", hdf5::Type::float32, 1024);
    const auto values = counting(10'000);
    for (int i = 0; i < 100; ++i) file.append("/ids", values.data(), 10'000);
    file.close();
  };
  CHECK_THROWS_WITH(write_much(), Contains("full.h5") && Contains("(File too large)"));
  CHECK(file_with_attributes(folder / "a.h5").read_int("/", "step") == -7);
}

TEST_CASE("a disk that fills up when an HDF5 file is closed is an error, and the library still works") {
  const test::TemporaryFolder folder;
  const auto write_metadata = [&] {
    const test::FileSizeLimit limit(4096);
    auto file = hdf5::File::create(folder / "full.h5");
    for (int i = 0; i < 200; ++i) file.create_group("/tensors/" + std::to_string(i));
    file.close();
  };
  CHECK_THROWS_WITH(write_metadata(), Contains("full.h5") && Contains("File too large"));
  CHECK(file_with_attributes(folder / "a.h5").read_int("/", "step") == -7);
}

TEST_CASE("threads may use their own HDF5 files at the same time") {
  const test::TemporaryFolder folder;
  std::vector<std::vector<float>> out(4, std::vector<float>(2000));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < out.size(); ++i)
    threads.emplace_back([&, i] {
      const auto path = folder / (std::to_string(i) + ".h5");
      const auto values = counting(2000);
      auto file = hdf5::File::create(path);
      file.write("/values", values.data(), 2000);
      file.close();
      const auto again = hdf5::File::open_read(path);
      for (int64_t k = 0; k < 2000; k += 100) again.read("/values", k, 100, out[i].data() + k);
    });
  for (auto& thread : threads) thread.join();
  for (const auto& values : out) CHECK(values == counting(2000));
}
