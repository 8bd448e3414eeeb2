#pragma once
#include <algorithm>
#include <filesystem>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/tensor_shape.h"

namespace tessera::test {

struct TestTensor {
  std::string name;
  std::vector<int64_t> shape;
  int64_t offset = 0;  // of its first element in the flat model
  int64_t count = 0;
};

inline SliceValues weights(float* data) { return {"master", DType::f32, data}; }

/// A small model with its moments, as one flat array each that is cut over ranks wherever a test likes.
struct TestModel {
  std::vector<TestTensor> tensors;
  std::vector<float> master, exp_avg, exp_avg_sq;
  int64_t size = 0;

  /// Names and shapes; elements all different from those of other seeds.
  explicit TestModel(unsigned seed = 1) {
    add("model.embed_tokens.weight", {61, 24});
    for (const char* layer : {"0", "1", "10", "2"}) {
      add(std::string("model.layers.") + layer + ".self_attn.q_proj.weight", {24, 24});
      add(std::string("model.layers.") + layer + ".input_layernorm.weight", {24});
    }
    add("model.norm.weight", {24});
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (auto* values : {&master, &exp_avg, &exp_avg_sq}) {
      values->resize(static_cast<size_t>(size));
      for (float& value : *values) value = normal(random);
    }
  }

  /// The slices of flat elements [begin, end).
  std::vector<TensorSlice> slices(int64_t begin, int64_t end) {
    std::vector<TensorSlice> slices;
    for (const TestTensor& tensor : tensors) {
      const int64_t first = std::clamp(begin - tensor.offset, int64_t{0}, tensor.count);
      const int64_t last = std::clamp(end - tensor.offset, int64_t{0}, tensor.count);
      const int64_t at = tensor.offset + first;
      slices.push_back({tensor.name,
                        tensor.shape,
                        first,
                        last - first,
                        {weights(master.data() + at),
                         {"exp_avg", DType::f32, exp_avg.data() + at},
                         {"exp_avg_sq", DType::f32, exp_avg_sq.data() + at}}});
    }
    return slices;
  }
  std::vector<TensorSlice> slices() { return slices(0, size); }

  /// Begin of each rank's part, and the end: ranks + 1 numbers, as even as possible.
  std::vector<int64_t> even_bounds(int ranks) const {
    std::vector<int64_t> bounds;
    for (int r = 0; r <= ranks; ++r) bounds.push_back(size * r / ranks);
    return bounds;
  }
  std::vector<int64_t> random_bounds(int ranks, unsigned seed) const {
    std::mt19937 random(seed);
    std::vector<int64_t> bounds{0, size};
    while (static_cast<int>(bounds.size()) <= ranks)
      bounds.push_back(std::uniform_int_distribution<int64_t>(0, size)(random));
    std::sort(bounds.begin(), bounds.end());
    return bounds;
  }

  void clear() {
    for (auto* values : {&master, &exp_avg, &exp_avg_sq}) std::fill(values->begin(), values->end(), 0.0f);
  }

  friend bool operator==(const TestModel& a, const TestModel& b) {
    return a.master == b.master && a.exp_avg == b.exp_avg && a.exp_avg_sq == b.exp_avg_sq;
  }

 private:
  void add(const std::string& name, const std::vector<int64_t>& shape) {
    const int64_t count = *element_count(shape);
    tensors.push_back({name, shape, size, count});
    size += count;
  }
};

inline CheckpointInfo info_of(int64_t step, int world_size) {
  return {.step = step,
          .epoch = 2,
          .samples_seen = 30,
          .tokens_seen = 4000,
          .world_size = world_size,
          .job = "[job]\nseed = 42\n",
          .model_config = R"({"model_type":"llama","torch_dtype":"float32","vocab_size":61})",
          .data = "0123456789abcdef",
          .base = BaseModel{"models/base", {{"frozen.weight", 7}, {"other.weight", 0xFEDCBA9876543210}}, 42}};
}

/// Writes every shard of a step, without the manifest.
inline std::vector<ShardFile> write_shards(const std::filesystem::path& output_dir, TestModel& model, int64_t step,
                                           const std::vector<int64_t>& bounds) {
  const int ranks = static_cast<int>(bounds.size()) - 1;
  std::vector<ShardFile> shards;
  for (int r = 0; r < ranks; ++r)
    shards.push_back(write_shard(step_directory(output_dir, step), info_of(step, ranks), r,
                                 model.slices(bounds[static_cast<size_t>(r)], bounds[static_cast<size_t>(r) + 1])));
  return shards;
}

/// A whole checkpoint; returns its directory.
inline std::filesystem::path save(const std::filesystem::path& output_dir, TestModel& model, int64_t step,
                                  int ranks = 1, int64_t save_total_limit = 0) {
  const auto shards = write_shards(output_dir, model, step, model.even_bounds(ranks));
  commit_checkpoint(output_dir, info_of(step, ranks), shards, save_total_limit);
  return step_directory(output_dir, step);
}

/// The model as `bounds.size() - 1` ranks read it, each with a reader of its own.
inline TestModel load(const std::filesystem::path& directory, const std::vector<int64_t>& bounds) {
  TestModel model;
  model.clear();
  for (size_t r = 0; r + 1 < bounds.size(); ++r)
    CheckpointReader(directory).read(model.slices(bounds[r], bounds[r + 1]));
  return model;
}

}  // namespace tessera::test
