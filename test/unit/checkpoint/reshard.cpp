#include <catch2/catch.hpp>

#include "base/error.h"
#include "base/hdf5.h"
#include "support/temporary_folder.h"
#include "unit/checkpoint/saved_model.h"

using namespace tessera;
using namespace tessera::test;
using Catch::Matchers::Contains;

TEST_CASE("a checkpoint written by any number of ranks is read whole by any other") {
  const TemporaryFolder folder;
  TestModel model;
  for (auto [from, to] : {std::pair{1, 1}, {2, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 3}, {7, 5}}) {
    const auto directory = save(folder.path(), model, from * 100 + to, from);
    CHECK(load(directory, model.even_bounds(to)) == model);
  }
}

TEST_CASE("parts of any odd size are read back, ranks without a part included") {
  const TemporaryFolder folder;
  for (unsigned seed = 0; seed < 25; ++seed) {
    TestModel model(seed);
    const int from = 1 + static_cast<int>(seed % 6), to = 1 + static_cast<int>(seed * 7 % 9);
    const auto shards = write_shards(folder.path(), model, seed, model.random_bounds(from, seed));
    commit_checkpoint(folder.path(), info_of(seed, from), shards, 0);
    CHECK(load(step_directory(folder.path(), seed), model.random_bounds(to, seed + 1000)) == model);
  }
}

TEST_CASE("a tensor larger than the pieces it is read in comes back") {
  const TemporaryFolder folder;
  const int64_t count = (5 << 20) + 3;
  std::vector<float> values(static_cast<size_t>(count)), out(values.size());
  std::iota(values.begin(), values.end(), 1.0f);
  const TensorSlice whole{"big.weight", {count}, 0, count, {weights(values.data())}};
  const auto shard = write_shard(step_directory(folder.path(), 1), info_of(1, 1), 0, {whole});
  commit_checkpoint(folder.path(), info_of(1, 1), {shard}, 0);
  const CheckpointReader reader(step_directory(folder.path(), 1));
  reader.read({{"big.weight", {count}, 1, count - 2, {weights(out.data() + 1)}}});
  CHECK(std::equal(out.begin() + 1, out.end() - 1, values.begin() + 1));
  std::fill(out.begin(), out.end(), 0.0f);
  reader.read({{"big.weight", {count}, 3 << 20, 100, {weights(out.data())}}});
  CHECK(std::equal(out.begin(), out.begin() + 100, values.begin() + (3 << 20)));
}

TEST_CASE("a tensor streams from its first element to its last, from however many shards hold it") {
  const TemporaryFolder folder;
  const TestModel original;
  for (const int ranks : {1, 4}) {
    TestModel model;
    const CheckpointReader reader(save(folder.path(), model, ranks, ranks));
    for (const TestTensor& tensor : original.tensors) {
      std::vector<float> streamed;
      reader.stream({tensor.name, tensor.shape, 0, tensor.count, {}}, weights(nullptr),
                    [&](const void* piece, int64_t at, int64_t count) {
                      REQUIRE(at == static_cast<int64_t>(streamed.size()));
                      const auto* values = static_cast<const float*>(piece);
                      streamed.insert(streamed.end(), values, values + count);
                    });
      REQUIRE(streamed.size() == static_cast<size_t>(tensor.count));
      CHECK(std::equal(streamed.begin(), streamed.end(), original.master.begin() + tensor.offset));
    }
  }
}

TEST_CASE("a checkpoint has the info it was saved with") {
  const TemporaryFolder folder;
  TestModel model;
  const CheckpointReader reader(save(folder.path(), model, 100, 3));
  CHECK(reader.info().step == 100);
  CHECK(reader.info().epoch == 2);
  CHECK(reader.info().samples_seen == 30);
  CHECK(reader.info().tokens_seen == 4000);
  CHECK(reader.info().world_size == 3);
  CHECK(reader.info().job == "[job]\nseed = 42\n");
  CHECK_THAT(reader.info().model_config, Contains("llama"));
  CHECK(reader.info().data == "0123456789abcdef");
}

TEST_CASE("a checkpoint lists every tensor with its shape") {
  const TemporaryFolder folder;
  TestModel model;
  const CheckpointReader reader(save(folder.path(), model, 100, 2));
  REQUIRE(reader.tensors().size() == model.tensors.size());
  for (const TestTensor& tensor : model.tensors)
    CHECK(std::any_of(reader.tensors().begin(), reader.tensors().end(),
                      [&](const auto& stored) { return stored.name == tensor.name && stored.shape == tensor.shape; }));
}

TEST_CASE("the master weights can be read without the moments") {
  const TemporaryFolder folder;
  TestModel model, read;
  const auto directory = save(folder.path(), model, 100, 2);
  read.clear();
  auto slices = read.slices();
  for (TensorSlice& slice : slices) slice.values.resize(1);
  CheckpointReader(directory).read(slices);
  CHECK(read.master == model.master);
  CHECK(read.exp_avg == std::vector<float>(read.exp_avg.size()));
}

TEST_CASE("reading a tensor that is not there, or of another shape, is an error that names it") {
  const TemporaryFolder folder;
  TestModel model;
  const CheckpointReader reader(save(folder.path(), model, 100));
  float out[24];
  CHECK_THROWS_WITH(reader.read({{"lm_head.weight", {2, 12}, 0, 24, {weights(out)}}}),
                    Contains("step-000100") && Contains("lm_head.weight"));
  CHECK_THROWS_WITH(reader.read({{"model.norm.weight", {2, 12}, 0, 24, {weights(out)}}}),
                    Contains("model.norm.weight") && Contains("[24]") && Contains("[2, 12]"));
}

TEST_CASE("a shard file has the attributes and data sets of the documented format") {
  const TemporaryFolder folder;
  TestModel model;
  const auto file = hdf5::File::open_read(save(folder.path(), model, 7, 2) / "shard-00001-of-00002.h5");
  CHECK(file.read_string("/", "format") == "tessera-checkpoint");
  CHECK(file.read_int("/", "version") == 1);
  CHECK(file.read_int("/", "rank") == 1);
  const std::string group = "/tensors/model.norm.weight";
  CHECK(file.read_ints(group, "global_shape") == std::vector<int64_t>{24});
  CHECK(file.read_int(group, "offset") == 0);
  CHECK(file.read_int(group, "count") == 24);
  for (const char* dataset : {"/master", "/exp_avg", "/exp_avg_sq"}) {
    CHECK(file.size(group + dataset) == 24);
    CHECK_NOTHROW(file.read_uint(group + dataset, "xxh3"));
  }
}

TEST_CASE("the data sets fill a shard file behind all that describes them, where the manifest says") {
  const TemporaryFolder folder;
  TestModel model;
  for (const ShardFile& shard : write_shards(folder.path(), model, 7, model.even_bounds(2))) {
    const auto file = hdf5::File::open_read(step_directory(folder.path(), 7) / shard.name);
    int64_t data_bytes = 0;
    for (const std::string& tensor : file.names("/tensors"))
      for (const char* dataset : {"/master", "/exp_avg", "/exp_avg_sq"}) {
        const std::string name = "/tensors/" + tensor + dataset;
        CHECK(file.byte_offset(name, hdf5::Type::float32) >= shard.metadata_bytes);
        data_bytes += file.size(name) * 4;
      }
    CHECK(shard.metadata_bytes + data_bytes == shard.bytes);
  }
}

TEST_CASE("a tensor of which a rank holds nothing is not in its shard") {
  const TemporaryFolder folder;
  TestModel model;
  const auto file = hdf5::File::open_read(save(folder.path(), model, 7, 2) / "shard-00001-of-00002.h5");
  CHECK_FALSE(file.exists("/tensors/model.layers.0.self_attn.q_proj.weight/master/nothing"));
  CHECK(file.names("/tensors").size() < model.tensors.size());
}

TEST_CASE("saving the same state twice gives the same bytes") {
  const TemporaryFolder one, two;
  TestModel model;
  const auto first = write_shards(one.path(), model, 7, model.even_bounds(2));
  const auto second = write_shards(two.path(), model, 7, model.even_bounds(2));
  CHECK(first[0].xxh3 == second[0].xxh3);
  CHECK(first[1].xxh3 == second[1].xxh3);
}

TEST_CASE("what an optimizer keeps is carried by its name and type, over any number of ranks") {
  const TemporaryFolder folder;
  constexpr int64_t count = 1003;
  std::vector<float> weight(count), scale(count);
  std::vector<bf16> momentum(count);
  for (size_t i = 0; i < count; ++i) {
    weight[i] = static_cast<float>(i);
    momentum[i] = bf16(-1.5f * static_cast<float>(i));
    scale[i] = 0.5f * static_cast<float>(i);
  }
  std::vector<ShardFile> shards;
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 301}, {301, count}}) {
    const TensorSlice slice{"a.weight",
                            {17, 59},
                            begin,
                            end - begin,
                            {weights(weight.data() + begin),
                             {"momentum", DType::bf16, momentum.data() + begin},
                             {"scale", DType::f32, scale.data() + begin}}};
    shards.push_back(write_shard(step_directory(folder.path(), 1), info_of(1, 2), begin == 0 ? 0 : 1, {slice}));
  }
  commit_checkpoint(folder.path(), info_of(1, 2), shards, 0);
  const CheckpointReader reader(step_directory(folder.path(), 1));
  std::vector<bf16> read(700);
  std::vector<float> read_scale(700);
  reader.read({{"a.weight",
                {17, 59},
                150,
                700,
                {{"scale", DType::f32, read_scale.data()}, {"momentum", DType::bf16, read.data()}}}});
  for (size_t i = 0; i < read.size(); ++i) {
    REQUIRE(static_cast<float>(read[i]) == static_cast<float>(momentum[150 + i]));
    REQUIRE(read_scale[i] == scale[150 + i]);
  }
  CHECK_THROWS_WITH(reader.read({{"a.weight", {17, 59}, 0, 700, {{"exp_avg", DType::f32, read_scale.data()}}}}),
                    Contains("a.weight") && Contains("has no exp_avg") && Contains("another optimizer"));
  CHECK_THROWS_AS(reader.read({{"a.weight", {17, 59}, 0, 700, {{"scale", DType::bf16, read.data()}}}}), DataError);
}

TEST_CASE("a state in blocks is carried as codes and scales, over any number of ranks") {
  const TemporaryFolder folder;
  constexpr int64_t count = 1003, block = 256;
  std::vector<float> weight(count), absmax(4);
  std::vector<uint8_t> codes(count);
  std::iota(weight.begin(), weight.end(), 0.0f);
  std::iota(codes.begin(), codes.end(), uint8_t{7});
  std::iota(absmax.begin(), absmax.end(), 0.5f);
  std::vector<ShardFile> shards;
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 512}, {512, count}})
    shards.push_back(write_shard(step_directory(folder.path(), 1), info_of(1, 2), begin == 0 ? 0 : 1,
                                 {{"a.weight",
                                   {17, 59},
                                   begin,
                                   end - begin,
                                   {weights(weight.data() + begin),
                                    {"m_codes", DType::u8, codes.data() + begin, block},
                                    {"m_absmax", DType::f32, absmax.data() + begin / block, block, true}}}}));
  commit_checkpoint(folder.path(), info_of(1, 2), shards, 0);
  const auto file = hdf5::File::open_read(step_directory(folder.path(), 1) / shard_name(1, 2));
  CHECK(file.size("/tensors/a.weight/m_codes") == count - 512);
  CHECK(file.size("/tensors/a.weight/m_absmax") == 2);
  CHECK(file.read_int("/tensors/a.weight/m_absmax", "block_size") == block);

  const CheckpointReader reader(step_directory(folder.path(), 1));
  std::vector<uint8_t> read_codes(count - 256);
  std::vector<float> read_absmax(3);
  const auto read = [&](int64_t block_size) {
    reader.read({{"a.weight",
                  {17, 59},
                  256,
                  count - 256,
                  {{"m_codes", DType::u8, read_codes.data(), block_size},
                   {"m_absmax", DType::f32, read_absmax.data(), block_size, true}}}});
  };
  read(block);
  CHECK(std::equal(read_codes.begin(), read_codes.end(), codes.begin() + 256));
  CHECK(read_absmax == std::vector<float>{1.5f, 2.5f, 3.5f});
  CHECK_THROWS_WITH(read(64), Contains("m_codes") && Contains("blocks have 256 elements, expected 64"));
}
