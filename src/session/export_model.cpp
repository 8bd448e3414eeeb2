#include "session/export_model.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>

#include "base/error.h"
#include "checkpoint/export.h"
#include "model/adapter.h"
#include "session/base_model.h"
#include "session/initial_weights.h"
#include "session/job_choices.h"
#include "session/round_trip.h"
#include "session/session.h"

namespace tessera {
namespace {

/// A linear module's adapter beside its weight.
struct Merged {
  const TensorSpec *a, *b;
  const TensorSpec* magnitude;  // of DoRA, or null
  float scale;
};

/// All weights of a job with an adapter, whole tensors at a time.
class AdaptedModel {
 public:
  AdaptedModel(const Job& job, const std::optional<std::filesystem::path>& checkpoint)
      : spec_(load_unquantized_model(job)), units_(model_units(spec_)), initial_(job, spec_, /*threads=*/1) {
    if (checkpoint) {
      checkpoint_.emplace(*checkpoint);
      require_same_adapter(checkpoint_->info(), job);
    }
    for (const UnitSpec& unit : units_)
      for (const TensorSpec& tensor : unit.tensors) by_name_[tensor.name] = &tensor;
    find_merged();
    if (job.checkpoint.merge_dequantized && !spec_.quantized_files) find_quantized(job);
  }

  const ModelSpec& spec() const { return spec_; }
  /// Throws DataError where the checkpoint stands on another base.
  void require_base(const Job& job) const {
    if (checkpoint_ && checkpoint_->info().base)
      require_same_base(checkpoint_->info(),
                        describe_base(job, spec_, std::bind_front(&InitialWeights::read, &initial_)));
  }
  ExportContent adapter(const Job& job) const;
  ExportContent merged(const Job& job) const;

 private:
  using Append = ExportContent::Append;
  using Names = std::map<std::string, const TensorSpec*>;  // in the directory → in the model

  void find_merged();
  void find_quantized(const Job& job);
  std::vector<ExportedTensor> exported(const Names& names) const;
  void stream(const TensorSpec& tensor, const Append& append) const;
  void stream_merged(const TensorSpec& tensor, const Merged& merged, const Append& append) const;
  void stream_stored(const TensorSpec& tensor, const Append& append) const;
  std::vector<float> whole(const TensorSpec& tensor) const;
  std::vector<float> whole_stored(const TensorSpec& tensor) const;

  const ModelSpec spec_;
  const std::vector<UnitSpec> units_;
  InitialWeights initial_;
  std::optional<CheckpointReader> checkpoint_;
  Names by_name_;
  std::map<std::string, Merged> merged_;      // by the weight's name
  std::map<std::string, Storage> quantized_;  // those that are merged as they come back from it
  std::unique_ptr<RoundTrip> round_trip_;
};

void AdaptedModel::find_merged() {
  for (const LayerSpec& layer : spec_.layers)
    for (const LinearSpec* linear : {&layer.attention.qkv, &layer.attention.o, &layer.mlp.gate_up, &layer.mlp.down})
      for (const auto& [module, rows, storage, lora] : linear->outputs) {
        const std::string name = layer.prefix + module;
        if (lora)
          merged_[name + ".weight"] = {by_name_.at(name + ".lora_A.weight"), by_name_.at(name + ".lora_B.weight"),
                                       lora.dora ? by_name_.at(name + ".lora_magnitude_vector") : nullptr, lora.scale};
      }
}

void AdaptedModel::find_quantized(const Job& job) {
  for (const UnitSpec& unit : model_units(load_job_model(job)))
    for (const TensorSpec& tensor : unit.tensors)
      if (is_quantized(tensor.storage)) quantized_[tensor.name] = tensor.storage;
  round_trip_ = std::make_unique<RoundTrip>();
}

std::vector<ExportedTensor> AdaptedModel::exported(const Names& names) const {
  std::vector<ExportedTensor> tensors;
  for (const auto& [name, tensor] : names) tensors.push_back({name, tensor->shape, tensor->size()});
  std::ranges::sort(tensors, natural_less, &ExportedTensor::name);
  return tensors;
}

void AdaptedModel::stream(const TensorSpec& tensor, const Append& append) const {
  const auto quantized = quantized_.find(tensor.name);
  if (quantized == quantized_.end()) return stream_stored(tensor, append);
  const std::vector<float> elements = round_trip_->of(tensor, quantized->second, whole_stored(tensor));
  append(elements.data(), tensor.size());
}

/// From the checkpoint or the directories.
void AdaptedModel::stream_stored(const TensorSpec& tensor, const Append& append) const {
  if (checkpoint_ && tensor.band() == Band::trained)
    return checkpoint_->stream(
        {tensor.name, tensor.shape, 0, tensor.size(), {}}, {master_dataset, DType::f32},
        [&](const void* piece, int64_t, int64_t count) { append(static_cast<const float*>(piece), count); });
  constexpr int64_t most = 1 << 20;
  std::vector<float> piece(static_cast<size_t>(std::min(most, tensor.size())));
  for (int64_t at = 0; at < tensor.size(); at += most) {
    const int64_t n = std::min(most, tensor.size() - at);
    initial_.read(tensor, at, n, piece.data());
    append(piece.data(), n);
  }
}

std::vector<float> AdaptedModel::whole(const TensorSpec& tensor) const {
  std::vector<float> elements;
  stream(tensor, [&](const float* piece, int64_t count) { elements.insert(elements.end(), piece, piece + count); });
  return elements;
}

std::vector<float> AdaptedModel::whole_stored(const TensorSpec& tensor) const {
  std::vector<float> elements;
  stream_stored(tensor,
                [&](const float* piece, int64_t count) { elements.insert(elements.end(), piece, piece + count); });
  return elements;
}

/// W + scale · B A in fp32, a row at a time; of DoRA with the row's length.
void AdaptedModel::stream_merged(const TensorSpec& tensor, const Merged& merged, const Append& append) const {
  const std::vector<float> a = whole(*merged.a), b = whole(*merged.b);
  const std::vector<float> magnitude = merged.magnitude != nullptr ? whole(*merged.magnitude) : std::vector<float>();
  const auto r = static_cast<size_t>(merged.a->shape.front()), columns = static_cast<size_t>(tensor.shape.back());
  std::vector<float> row;
  size_t number = 0;
  const auto finish_row = [&] {
    for (size_t k = 0; k < r; ++k) {
      const float factor = merged.scale * b[number * r + k];
      for (size_t i = 0; i < columns; ++i) row[i] += factor * a[k * columns + i];
    }
    if (!magnitude.empty()) {
      double squares = 0;
      for (const float x : row) squares += static_cast<double>(x) * x;
      for (float& x : row) x *= static_cast<float>(magnitude[number] / std::sqrt(squares));
    }
    append(row.data(), static_cast<int64_t>(columns));
    row.clear();
    ++number;
  };
  stream(tensor, [&](const float* piece, int64_t count) {
    for (int64_t done = 0; done < count;) {
      const int64_t n = std::min(count - done, static_cast<int64_t>(columns - row.size()));
      row.insert(row.end(), piece + done, piece + done + n);
      done += n;
      if (row.size() == columns) finish_row();
    }
  });
}

ExportContent AdaptedModel::adapter(const Job& job) const {
  Names names;
  for (const auto& [name, tensor] : by_name_)
    if (tensor->band() == Band::trained) names["base_model.model." + name] = tensor;
  // A tied model's one tensor has both names, as PEFT writes it.
  const std::string embedding = "base_model.model." + spec_.embedding + ".weight";
  if (spec_.tied && names.contains(embedding)) names["base_model.model." + spec_.head + ".weight"] = names[embedding];
  ExportContent content;
  content.weights = "adapter_model";
  content.tensors = exported(names);
  content.dtype = DType::f32;
  content.config_name = "adapter_config.json";
  content.config = adapter_config(job.adapter, job.model.base);
  content.stream = [this, names](const ExportedTensor& tensor, const Append& append) {
    stream(*names.at(tensor.name), append);
  };
  return content;
}

ExportContent AdaptedModel::merged(const Job& job) const {
  Names names;
  for (const auto& [name, tensor] : by_name_)
    if (!tensor->is_adapter) names[name] = tensor;
  ExportContent content;
  content.tensors = exported(names);
  content.dtype = export_settings(job).dtype;
  content.config = config_with_dtype(spec_.config, content.dtype, (job.model.base / "config.json").string());
  content.stream = [this](const ExportedTensor& tensor, const Append& append) {
    const auto found = merged_.find(tensor.name);
    if (found == merged_.end()) return stream(*by_name_.at(tensor.name), append);
    stream_merged(*by_name_.at(tensor.name), found->second, append);
  };
  return content;
}

}  // namespace

void export_model(const Job& job, const std::optional<std::filesystem::path>& checkpoint) {
  if (job.adapter.type == AdapterType::none) {
    if (!checkpoint) throw DataError("{}: no complete checkpoint to export", job.job.output_dir.string());
    return export_checkpoint(CheckpointReader(*checkpoint), export_settings(job));
  }
  if (!checkpoint && job.adapter.base_adapter.empty())
    throw DataError("{}: no complete checkpoint to export, and no [adapter] base_adapter", job.job.output_dir.string());
  const AdaptedModel model(job, checkpoint);
  const bool merged = job.checkpoint.export_adapter == AdapterExport::merged;
  if (merged) model.require_base(job);
  write_export(merged ? model.merged(job) : model.adapter(job), export_settings(job));
}

}  // namespace tessera
