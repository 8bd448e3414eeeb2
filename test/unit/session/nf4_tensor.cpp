#include "session/nf4_tensor.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <map>

#include "base/error.h"
#include "kernels/dynamic_map.h"
#include "kernels/quantization.h"
#include "support/temporary_folder.h"
#include "unit/checkpoint/safetensors_file.h"

using namespace tessera;
using namespace tessera::test;
using Catch::Matchers::Contains;

namespace {

constexpr int64_t rows = 3, columns = 47, size = rows * columns;  // two whole blocks and a part of one, of odd length
constexpr float mean = 0.75f, scale = 0.5f;

struct Part {
  std::string dtype, shape, bytes;
};
using Parts = std::map<std::string, Part>;

template <size_t n>
std::string bytes_of(const std::array<float, n>& map) {
  return raw_bytes(std::vector<float>(map.begin(), map.end()));
}

/// The parts of the tensor w, as bitsandbytes writes them.
Parts parts(bool twice) {
  std::string codes;
  for (int64_t i = 0; i < (size + 1) / 2; ++i) codes.push_back(static_cast<char>(37 * i + 11));
  std::string state = R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [3, 47])";
  Parts made = {{"", {"U8", "[71,1]", codes}}, {".quant_map", {"F32", "[16]", bytes_of(nf4_map())}}};
  if (twice) {
    state += R"(, "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.75)";
    made[".absmax"] = {"U8", "[3]", std::string("\x05\x80\xf0", 3)};
    made[".nested_absmax"] = {"F32", "[1]", raw_bytes(std::vector<float>{scale})};
    made[".nested_quant_map"] = {"F32", "[256]", bytes_of(dynamic_map(true))};
  } else {
    made[".absmax"] = {"F32", "[3]", raw_bytes(std::vector<float>{0.5f, 2, 1.25f})};
  }
  state += "}";
  made[std::string(Nf4Tensor::state_suffix)] = {"U8", "[" + std::to_string(state.size()) + "]", state};
  return made;
}

void write(const TemporaryFolder& folder, const Parts& parts) {
  std::string header, data;
  for (const auto& [suffix, part] : parts) {
    header += fmt::format(R"({}"w{}":{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", header.empty() ? "{" : ",",
                          suffix, part.dtype, part.shape, data.size(), data.size() + part.bytes.size());
    data += part.bytes;
  }
  put_safetensors(folder / "model.safetensors", header + "}", data);
}

std::string error_of(const Parts& parts) {
  const TemporaryFolder folder;
  write(folder, parts);
  try {
    const SafetensorsReader files(folder.path());
    const Nf4Tensor tensor(files, folder.path().string(), "w");
    std::vector<float> out(static_cast<size_t>(size));
    tensor.read(0, size, out.data());
    return "none";
  } catch (const DataError& error) {
    CHECK_THAT(error.what(), Contains(folder.path().string()));
    return error.what();
  }
}

std::string error_of(bool twice, const std::string& suffix, const std::string& from, const std::string& to) {
  Parts changed = parts(twice);
  Part& part = changed.at(suffix);
  part.bytes.replace(part.bytes.find(from), from.size(), to);
  part.shape = "[" + std::to_string(part.bytes.size()) + "]";
  return error_of(changed);
}

}  // namespace

TEST_CASE("a matrix of bitsandbytes is read from any element on") {
  for (const bool twice : {false, true}) {
    const TemporaryFolder folder;
    const Parts written = parts(twice);
    write(folder, written);
    const SafetensorsReader files(folder.path());
    const Nf4Tensor tensor(files, folder.path().string(), "w");
    CHECK(tensor.shape() == std::vector<int64_t>{rows, columns});
    CHECK(tensor.is_double() == twice);
    CHECK(tensor.names().size() == written.size());
    std::vector<float> absmax = {0.5f, 2, 1.25f};
    if (twice)
      absmax = {dynamic_map(true)[5] * scale + mean, dynamic_map(true)[128] * scale + mean,
                dynamic_map(true)[240] * scale + mean};
    const std::string& codes = written.at("").bytes;
    for (const int64_t offset : {int64_t{0}, int64_t{1}, int64_t{63}, int64_t{64}, size - 1}) {
      std::vector<float> out(static_cast<size_t>(size - offset));
      tensor.read(offset, size - offset, out.data());
      for (int64_t i = offset; i < size; ++i) {
        const auto pair = static_cast<uint8_t>(codes[static_cast<size_t>(i / 2)]);
        const size_t code = i % 2 == 0 ? pair / 16 : pair % 16;
        REQUIRE(out[static_cast<size_t>(i - offset)] == nf4_map()[code] * absmax[static_cast<size_t>(i / 64)]);
      }
    }
  }
}

TEST_CASE("the parts of a matrix of bitsandbytes are those of the files") {
  const TemporaryFolder folder;
  const Parts written = parts(true);
  write(folder, written);
  const SafetensorsReader files(folder.path());
  const Nf4Tensor tensor(files, folder.path().string(), "w");
  const auto read = [&](Nf4Tensor::Part part, int64_t offset, int64_t count) {
    std::string out(static_cast<size_t>(count), '\0');
    tensor.read_part(part, offset, count, out.data());
    return out;
  };
  CHECK(read(Nf4Tensor::Part::codes, 7, 60) == written.at("").bytes.substr(7, 60));
  CHECK(read(Nf4Tensor::Part::absmax_codes, 1, 2) == written.at(".absmax").bytes.substr(1));
  CHECK(read(Nf4Tensor::Part::absmax, 0, 4) == written.at(".nested_absmax").bytes);
  CHECK(read(Nf4Tensor::Part::mean, 0, 4) == raw_bytes(std::vector<float>{mean}));
}

TEST_CASE("a matrix that bitsandbytes would not write is refused by name") {
  CHECK(error_of(parts(true)) == "none");
  const std::string state(Nf4Tensor::state_suffix);
  CHECK_THAT(error_of(false, state, "nf4", "fp4"), Contains("quant_type is \"fp4\""));
  CHECK_THAT(error_of(false, state, "64", "128"), Contains("blocksize is 128; only 64"));
  CHECK_THAT(error_of(true, state, "256", "64"), Contains("nested_blocksize is 64"));
  CHECK_THAT(error_of(true, state, "0.75", "1e39"), Contains("nested_offset"));
  CHECK_THAT(error_of(true, state, "0.75", "\"1\""), Contains("nested_offset"));
  CHECK_THAT(error_of(false, state, "[3, 47]", "[3, 46]"), Contains("tensor w: has 71 bytes"));
  CHECK_THAT(error_of(false, state, "[3, 47]", "[3, -47]"), Contains("its shape has -47"));
  CHECK_THAT(error_of(false, state, "[3, 47]", "[4294967296, 4294967296]"), Contains("no tensor has the shape"));
  CHECK_THAT(error_of(false, state, "[3, 47]", "[9223372036854775807]"), Contains("tensor w: has 71 bytes"));
  CHECK_THAT(error_of(false, state, "\"shape\"", "\"form\""), Contains("has no shape"));
  Parts without = parts(true);
  without.erase(".nested_absmax");
  CHECK_THAT(error_of(without), Contains("w.nested_absmax"));
  Parts other_map = parts(false);
  other_map[".quant_map"].bytes = std::string(64, '\0');
  CHECK_THAT(error_of(other_map), Contains("is not bitsandbytes' map"));
  Parts infinite = parts(true);
  infinite[".nested_absmax"].bytes = raw_bytes(std::vector<float>{INFINITY});
  CHECK_THAT(error_of(infinite), Contains("not finite"));
}
