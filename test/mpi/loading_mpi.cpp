// What loading a model costs in host memory: loading_mpi f32|bf16 (how the file stores its weights).  Fails where a
// rank's peak is above its shards and one tensor, or where its slices are not those of the file.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "checkpoint/safetensors_writer.h"
#include "cluster/agree.h"
#include "cluster/cluster.h"
#include "model/families/family.h"
#include "session/initial_weights.h"
#include "session/weights.h"
#include "shard/memory.h"

using namespace tessera;

namespace {

constexpr int64_t mebibyte = 1 << 20;
/// What is not asked of the program: heap and stacks of libraries, huge pages at the ends of buffers.
constexpr int64_t slack_bytes = 12 * mebibyte;

/// 49 million weights, 187 MiB in fp32, of which the largest tensor is 16 MiB: a reader that held the file, or half of
/// it, would be far beyond the bound.
const char* const config_json = R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu",
  "hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 14, "num_attention_heads": 8,
  "num_key_value_heads": 8, "vocab_size": 8192, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
  "max_position_embeddings": 128, "rope_theta": 10000.0})";

/// Exact in bf16; its period of 251 divides no size, so that a slice from another place is another one.
float value_at(int64_t i) { return static_cast<float>(i % 251 - 125) / 128; }

void write_model(const std::filesystem::path& directory, const ModelSpec& config, DType dtype) {
  std::vector<ExportedTensor> tensors;
  const ShardLayout whole(config, 0, 1);
  for (const ShardPiece& piece : whole.pieces())
    tensors.push_back({piece.tensor->name, piece.tensor->shape, piece.count});
  SafetensorsWriter writer(directory / "model.safetensors", tensors, dtype);
  std::vector<float> piece;
  for (const ExportedTensor& tensor : tensors)
    for (int64_t begin = 0; begin < tensor.count; begin += static_cast<int64_t>(piece.size())) {
      piece.resize(static_cast<size_t>(std::min<int64_t>(1 << 16, tensor.count - begin)));
      for (size_t i = 0; i < piece.size(); ++i) piece[i] = value_at(begin + static_cast<int64_t>(i));
      writer.append(piece.data(), static_cast<int64_t>(piece.size()));
    }
  writer.finish();
}

/// "VmRSS" or "VmHWM" of this process, in bytes.
int64_t memory(const std::string& line_name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(line_name + ":")) return std::stoll(line.substr(line_name.size() + 1)) * 1024;
  throw std::logic_error("/proc/self/status has no " + line_name);
}

/// VmHWM begins again at what is resident now.
void forget_peak() {
  std::ofstream("/proc/self/clear_refs") << "5\n";
  if (memory("VmHWM") > memory("VmRSS") + mebibyte) throw std::logic_error("the peak could not be reset");
}

int64_t largest_tensor(const ShardLayout& layout) {
  int64_t largest = 0;
  for (const UnitShard& unit : layout.units())
    for (const TensorSpec& tensor : unit.spec.tensors)
      largest =
          std::max(largest, std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1}, std::multiplies<>()));
  return largest * int64_t{sizeof(float)};
}

void check_slices(const ShardedModel& model) {
  for (const ShardPiece& piece : model.layout().pieces()) {
    const float* master = model.state().master.as<float>() + piece.shard_offset;
    for (int64_t i = 0; i < piece.count; ++i)
      if (master[i] != value_at(piece.tensor_offset + i))
        throw DataError("{}: element {} is not that of the file", piece.tensor->name, piece.tensor_offset + i);
  }
}

void load_and_measure(Cluster& cluster, const std::filesystem::path& directory, const ModelSpec& config) {
  const auto device = make_cpu_device(1);
  const auto kernels = make_kernels(*device);
  Profiler profiler(*device);
  ShardSettings shard;
  ModelSettings settings;
  settings.precision = Precision::fp32;
  ShardGroups groups(cluster.world(), shard, cluster.size(), *device);
  forget_peak();
  const int64_t before = memory("VmRSS");
  const ShardedModelSettings asked{shard, settings, {{"exp_avg"}, {"exp_avg_sq"}}, 16};
  ShardedModel model({*device, *kernels, profiler, groups}, config, asked);
  const PretrainedWeights pretrained(directory, model.spec());
  load_weights(model, {[&](const TensorSpec& tensor, int64_t offset, int64_t count, float* out) {
                 pretrained.read(tensor.name, offset, count, out);
               }});
  model.synchronize();
  const int64_t used = memory("VmHWM") - before;
  check_slices(model);

  const int64_t shards = plan_memory(DeviceKind::cpu, config, asked, cluster.size()).shards;
  const int64_t bound = shards + largest_tensor(model.layout()) + slack_bytes;
  fmt::print("{}peak while loading {} MiB; shards {} MiB, largest tensor {} MiB\n", cluster.prefix(), used / mebibyte,
             shards / mebibyte, largest_tensor(model.layout()) / mebibyte);
  if (used < shards) throw DataError("the peak is below the shards, which are there: it was not measured");
  if (used > bound) throw DataError("the peak of {} MiB is above {} MiB", used / mebibyte, bound / mebibyte);
}

int run(Cluster& cluster, const std::string& stored) {
  const auto directory = std::filesystem::temp_directory_path() / fmt::format("tessera-loading-{}", ::getppid());
  const ModelSpec config = parse_model(config_json, "the test's config.json");
  agree(cluster.world(), "writing the model", [&] {
    if (cluster.rank() != 0) return;
    std::filesystem::create_directories(directory);
    write_model(directory, config, stored == "bf16" ? DType::bf16 : DType::f32);
  });
  int failed = 0;
  try {
    agree(cluster.world(), "loading", [&] { load_and_measure(cluster, directory, config); });
  } catch (const FailedElsewhere&) {
    failed = 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}error: {}\n", cluster.prefix(), error.what());
    failed = 1;
  }
  if (cluster.rank() == 0) std::filesystem::remove_all(directory);
  return failed;
}

}  // namespace

int main(int argc, char** argv) {
  Cluster cluster(&argc, &argv);
  return run(cluster, argc > 1 ? argv[1] : "f32");
}
