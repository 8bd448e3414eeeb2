#include "checkpoint/safetensors.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "base/error.h"
#include "checkpoint/float16.h"
#include "device/dtype.h"
#include "support/temporary_folder.h"
#include "unit/checkpoint/safetensors_file.h"

using namespace tessera;
using namespace tessera::test;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

std::vector<float> read_all(const SafetensorsReader& reader, const std::string& name, int64_t count) {
  std::vector<float> out(static_cast<size_t>(count));
  reader.read(name, 0, count, out.data());
  return out;
}

/// a: F32 [2, 3], b: F16 [2], and a tensor that nobody reads.
const std::string good_header =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
    R"("b":{"dtype":"F16","shape":[2],"data_offsets":[24,28]},"ids":{"dtype":"I64","shape":[1],"data_offsets":[28,36]}})";
const std::vector<float> a_values = {1, 2, 3, 4, 5, -6.5f};

std::string good_data() {
  return raw_bytes(a_values) + raw_bytes(std::vector<uint16_t>{0x3c00, 0xc000}) + std::string(8, '\1');
}

struct GoodFile {
  TemporaryFolder folder;
  fs::path path = folder / "model.safetensors";
  GoodFile() { put_safetensors(path, good_header, good_data()); }
};

/// Opens a file with this header over 64 bytes of data.
void open_header(const std::string& header) {
  const TemporaryFolder folder;
  put_safetensors(folder / "model.safetensors", header, std::string(64, '\0'));
  SafetensorsReader reader(folder.path());
}

}  // namespace

TEST_CASE("a safetensors file gives names, shapes and values") {
  const GoodFile file;
  const SafetensorsReader reader(file.folder.path());
  CHECK(reader.names() == std::vector<std::string>{"a", "b", "ids"});
  CHECK(reader.shape("a") == std::vector<int64_t>{2, 3});
  CHECK(reader.contains("b"));
  CHECK_FALSE(reader.contains("c"));
  CHECK(read_all(reader, "a", 6) == a_values);
  CHECK(read_all(reader, "b", 2) == std::vector<float>{1, -2});
}

TEST_CASE("any slice of a safetensors tensor can be read") {
  const GoodFile file;
  const SafetensorsReader reader(file.folder.path());
  float out[2] = {0, 0};
  reader.read("a", 4, 2, out);
  CHECK(out[0] == 5);
  CHECK(out[1] == -6.5f);
  reader.read("b", 1, 1, out);
  CHECK(out[0] == -2);
  reader.read("b", 2, 0, nullptr);
}

TEST_CASE("a weight that is not finite is refused where it is read, and the error names file and tensor") {
  for (const auto& [dtype, weights] :
       {std::pair<std::string, std::string>{"F32", raw_bytes(std::vector<float>{1, 2, std::nanf("")})},
        {"F32", raw_bytes(std::vector<float>{1, 2, -INFINITY})},
        {"F16", raw_bytes(std::vector<uint16_t>{0, 0, 0x7c00})},
        {"BF16", raw_bytes(std::vector<uint16_t>{0, 0, 0xff81})}}) {
    const TemporaryFolder folder;
    put_safetensors(
        folder / "model.safetensors",
        R"({"w":{"dtype":")" + dtype + R"(","shape":[3],"data_offsets":[0,)" + std::to_string(weights.size()) + "]}}",
        weights);
    const SafetensorsReader reader(folder.path());
    float out[3];
    CHECK_NOTHROW(reader.read("w", 0, 2, out));
    CHECK_THROWS_WITH(reader.read("w", 0, 3, out),
                      Contains("model.safetensors") && Contains("tensor w") && Contains("not finite"));
  }
}

TEST_CASE("bf16 tensors longer than a piece are widened exactly") {
  const TemporaryFolder folder;
  std::vector<bf16> values((3 << 20) + 5);
  for (size_t i = 0; i < values.size(); ++i) values[i].bits = static_cast<uint16_t>(i % 0x7f00);
  const auto n = std::to_string(values.size()), end = std::to_string(values.size() * 2);
  put_safetensors(folder / "model.safetensors",
                  R"({"w":{"dtype":"BF16","shape":[)" + n + R"(],"data_offsets":[0,)" + end + "]}}", raw_bytes(values));
  const auto read = read_all(SafetensorsReader(folder.path()), "w", static_cast<int64_t>(values.size()));
  CHECK(std::equal(read.begin(), read.end(), values.begin(),
                   [](float wide, bf16 narrow) { return wide == static_cast<float>(narrow); }));
}

TEST_CASE("every finite half becomes the float of the same value") {
  for (uint32_t half = 0; half < 0x10000; ++half) {
    const int exponent = static_cast<int>((half >> 10) & 31), mantissa = static_cast<int>(half & 1023);
    if (exponent == 31) continue;
    const double magnitude = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    const double expected = std::copysign(magnitude, (half & 0x8000) ? -1.0 : 1.0);
    const float got = float_of_half(static_cast<uint16_t>(half));
    if (got != expected || std::signbit(got) != std::signbit(expected)) FAIL("half " << half << " became " << got);
  }
}

TEST_CASE("infinite halves and NaN stay what they are") {
  CHECK(float_of_half(0x7c00) == std::numeric_limits<float>::infinity());
  CHECK(float_of_half(0xfc00) == -std::numeric_limits<float>::infinity());
  CHECK(std::isnan(float_of_half(0x7e01)));
}

TEST_CASE("a model in several safetensors files is read through its index") {
  const TemporaryFolder folder;
  put_safetensors(folder / "model-00001-of-00002.safetensors", good_header, good_data());
  put_safetensors(folder / "model-00002-of-00002.safetensors",
                  R"({"c":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", raw_bytes(std::vector<float>{9}));
  put(folder / "model.safetensors.index.json",
      R"({"metadata":{},"weight_map":{"a":"model-00001-of-00002.safetensors","c":"model-00002-of-00002.safetensors"}})");
  const SafetensorsReader reader(folder.path());
  CHECK(reader.names() == std::vector<std::string>{"a", "c"});
  CHECK(read_all(reader, "a", 6) == a_values);
  CHECK(read_all(reader, "c", 1) == std::vector<float>{9});
}

TEST_CASE("an index that does not fit its files is refused with the tensor's name") {
  const TemporaryFolder folder;
  const auto open_index = [&](const std::string& text) {
    put(folder / "model.safetensors.index.json", text);
    SafetensorsReader reader(folder.path());
  };
  put_safetensors(folder / "one.safetensors", good_header, good_data());
  CHECK_THROWS_WITH(open_index(R"({"weight_map":{"zz":"one.safetensors"}})"),
                    Contains("zz") && Contains("one.safetensors"));
  CHECK_THROWS_WITH(open_index(R"({"weight_map":{"a":"two.safetensors"}})"),
                    Contains("two.safetensors") && Contains("missing"));
  CHECK_THROWS_WITH(open_index(R"({"weight_map":{"a":"../one.safetensors"}})"), Contains("a:"));
  CHECK_THROWS_AS(open_index(R"({"weight_map":{"a":7}})"), DataError);
  CHECK_THROWS_AS(open_index(R"({"weight_map":[]})"), DataError);
  CHECK_THROWS_AS(open_index("{"), DataError);
}

TEST_CASE("a directory without safetensors is refused") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(SafetensorsReader(folder.path()), Contains("model.safetensors"));
}

TEST_CASE("a tensor that is missing or of a type that cannot be read is named") {
  const GoodFile file;
  const SafetensorsReader reader(file.folder.path());
  float out;
  CHECK_THROWS_WITH(reader.shape("lm_head.weight"), Contains("lm_head.weight"));
  CHECK_THROWS_WITH(reader.read("lm_head.weight", 0, 1, &out), Contains("lm_head.weight"));
  CHECK_THROWS_WITH(reader.read("ids", 0, 1, &out), Contains("ids") && Contains("I64"));
}

TEST_CASE("a truncated safetensors file is refused with file, tensor and remedy") {
  const GoodFile file;
  fs::resize_file(file.path, fs::file_size(file.path) - 1);
  CHECK_THROWS_WITH(SafetensorsReader(file.folder.path()),
                    Contains("model.safetensors") && Contains("tensor ids") && Contains("download it again"));
}

TEST_CASE("no truncation of a safetensors file is taken for a whole one") {
  const GoodFile file;
  const std::string whole = bytes_of(file.path);
  for (size_t length = 0; length < whole.size(); ++length) {
    put(file.path, whole.substr(0, length));
    CHECK_THROWS_AS(SafetensorsReader(file.folder.path()), DataError);
  }
}

TEST_CASE("a Git LFS pointer in place of the weights is recognised") {
  const TemporaryFolder folder;
  put(folder / "model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
  CHECK_THROWS_WITH(SafetensorsReader(folder.path()), Contains("git lfs pull"));
}

TEST_CASE("headers that lie are refused with the tensor's name") {
  for (
      const char* header : {
          R"({"w":{"dtype":"F32","shape":[4],"data_offsets":[0,12]}})",
          R"({"w":{"dtype":"F32","shape":[17],"data_offsets":[0,68]}})",
          R"({"w":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}})",
          R"({"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16,32]}})",
          R"({"w":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}})",
          R"({"w":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}})",
          R"({"w":{"dtype":"F32","shape":"4","data_offsets":[0,16]}})",
          R"({"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})",
          R"({"w":{"dtype":"F32","shape":[4],"data_offsets":[18446744073709551600,18446744073709551615]}})",
          R"({"w":{"dtype":"F32","shape":[4]}})",
          R"({"w":{"shape":[4],"data_offsets":[0,16]}})",
          R"({"w":{"dtype":3,"shape":[4],"data_offsets":[0,16]}})",
          R"({"w":7})",
          R"({"v":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"w":{"dtype":"F32","shape":[4],"data_offsets":[12,28]}})",
      })
    CHECK_THROWS_WITH(open_header(header), Contains("w") && Contains("download it again"));
}

TEST_CASE("a header that is no JSON object, or longer than any can be, is refused") {
  CHECK_THROWS_AS(open_header("[]"), DataError);
  CHECK_THROWS_AS(open_header("{"), DataError);
  CHECK_THROWS_AS(open_header(""), DataError);
  CHECK_THROWS_AS(open_header(std::string(100'000, '[')), DataError);
  const GoodFile file;
  flip_byte(file.path, 7);
  CHECK_THROWS_AS(SafetensorsReader(file.folder.path()), DataError);
}

TEST_CASE("changed bytes in a safetensors header are refused or leave every tensor readable") {
  const GoodFile file;
  const std::string whole = bytes_of(file.path);
  std::mt19937 random(11);
  int refused = 0;
  for (int i = 0; i < 600; ++i) {
    std::string bytes = whole;
    for (unsigned changes = 1 + random() % 3; changes > 0; --changes)
      bytes[random() % (8 + good_header.size())] = static_cast<char>(random());
    put(file.path, bytes);
    try {
      const SafetensorsReader reader(file.folder.path());
      for (const std::string& name : reader.names()) {
        int64_t count = 1;
        for (const int64_t dimension : reader.shape(name)) count *= dimension;
        read_all(reader, name, count);
      }
    } catch (const DataError&) {
      ++refused;
    }
  }
  CHECK(refused > 0);
}

TEST_CASE("a model that transformers has written is read", "[shared]") {
  const fs::path directory = fs::path(TESSERA_SHARED) / "models/stories260K";
  if (!fs::exists(directory)) {
    WARN("skipped: " << directory << " is not there");
    return;
  }
  const SafetensorsReader reader(directory);
  REQUIRE(reader.shape("model.embed_tokens.weight") == std::vector<int64_t>{512, 64});
  const auto values = read_all(reader, "model.embed_tokens.weight", 512 * 64);
  CHECK(std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }));
}
