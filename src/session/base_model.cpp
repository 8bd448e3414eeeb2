#include "session/base_model.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "base/number.h"
#include "cluster/agree.h"
#include "model/units.h"

namespace tessera {
namespace {

constexpr int64_t elements_of_piece = (1 << 20) / sizeof(float);

/// The frozen tensors of a model, cut into pieces that count through all of them.
class BasePieces {
 public:
  explicit BasePieces(const ModelSpec& spec) : units_(model_units(spec)) {
    for (const UnitSpec& unit : units_)
      for (const TensorSpec& tensor : unit.tensors)
        if (tensor.band() == Band::frozen) {
          tensors_.push_back({&tensor, count_, pieces_of(tensor)});
          count_ += pieces_of(tensor);
        }
  }

  int64_t count() const { return count_; }

  /// checksums[i] of the pieces first, first + step, …
  void read(const ReadElements& read, int64_t first, int64_t step, std::vector<uint64_t>& checksums) const {
    std::vector<float> elements;
    for (const auto& [tensor, begin, pieces] : tensors_)
      for (int64_t piece = round_up(std::max<int64_t>(begin - first, 0), step) + first; piece < begin + pieces;
           piece += step) {
        const int64_t at = (piece - begin) * elements_of_piece, n = std::min(elements_of_piece, tensor->size() - at);
        elements.resize(static_cast<size_t>(n));
        read(*tensor, at, n, elements.data());
        checksums[static_cast<size_t>(piece)] = xxh3(elements.data(), elements.size() * sizeof(float));
      }
  }

  BaseModel describe(const Job& job, const std::vector<uint64_t>& checksums) const {
    BaseModel base{.directory = job.model.init == Init::pretrained ? job.model.base.string() : "", .tensors = {}};
    std::map<std::string, const TensorSpec*> by_name;
    for (const auto& [tensor, begin, pieces] : tensors_) {
      base.tensors[tensor->name] = xxh3(checksums.data() + begin, static_cast<size_t>(pieces) * sizeof(uint64_t));
      by_name[tensor->name] = tensor;
    }
    Hasher all;
    for (const auto& [name, tensor] : by_name) {
      all.update_field(name);
      all.update(tensor->shape.data(), tensor->shape.size() * sizeof(int64_t));
      all.update(&base.tensors[name], sizeof(uint64_t));
    }
    base.xxh3 = all.digest();
    return base;
  }

 private:
  static int64_t pieces_of(const TensorSpec& tensor) { return ceil_div(tensor.size(), elements_of_piece); }

  struct Cut {
    const TensorSpec* tensor;
    int64_t begin, pieces;
  };
  std::vector<UnitSpec> units_;
  std::vector<Cut> tensors_;
  int64_t count_ = 0;
};

}  // namespace

BaseModel describe_base(const Job& job, const ModelSpec& spec, const ReadElements& read, Communicator& world) {
  const BasePieces pieces(spec);
  const int64_t ranks = world.size(), rounds = ceil_div(pieces.count(), ranks);
  std::vector<uint64_t> checksums(static_cast<size_t>(rounds * ranks)), mine(static_cast<size_t>(rounds)),
      gathered(checksums.size());
  agree(
      world, "reading the base's tensors", [&] { pieces.read(read, world.rank(), ranks, checksums); },
      Patience::unlimited);
  for (int64_t i = 0; i < rounds; ++i)
    mine[static_cast<size_t>(i)] = checksums[static_cast<size_t>(i * ranks + world.rank())];
  world.all_gather_host(mine.data(), gathered.data(), rounds * static_cast<int64_t>(sizeof(uint64_t)),
                        "all_gather(checksums of the base)");
  for (int64_t i = 0; i < rounds * ranks; ++i)
    checksums[static_cast<size_t>(i)] = gathered[static_cast<size_t>(i % ranks * rounds + i / ranks)];
  return pieces.describe(job, checksums);
}

BaseModel describe_base(const Job& job, const ModelSpec& spec, const ReadElements& read) {
  const BasePieces pieces(spec);
  std::vector<uint64_t> checksums(static_cast<size_t>(pieces.count()));
  pieces.read(read, 0, 1, checksums);
  return pieces.describe(job, checksums);
}

void require_same_adapter(const CheckpointInfo& checkpoint, const Job& job) {
  for (const std::string& change : changed_settings(checkpoint.job, job))
    if (change.starts_with("[adapter] ") && !change.starts_with("[adapter] loraplus_lr_ratio:") &&
        !change.starts_with("[adapter] lora_dropout:"))
      throw DataError(
          "the checkpoint of step {} was trained with another adapter: {}; leave [adapter] as it was, or "
          "set checkpoint.resume = never",
          checkpoint.step, change);
}

void require_same_base(const CheckpointInfo& checkpoint, const BaseModel& base) {
  if (!checkpoint.base || (checkpoint.base->tensors == base.tensors && is_checksum(checkpoint.base->xxh3, base.xxh3)))
    return;
  const std::string where = fmt::format("the checkpoint of step {} was trained on another base", checkpoint.step);
  for (const auto& [name, checksum] : base.tensors) {
    const auto before = checkpoint.base->tensors.find(name);
    if (before == checkpoint.base->tensors.end())
      throw DataError("{}: there, {} was trained and not frozen; leave [adapter] as it was", where, name);
    if (before->second != checksum)
      throw DataError("{}, {}: {} differs; set [model] base to the model that it was trained on", where,
                      checkpoint.base->directory, name);
  }
  for (const auto& [name, checksum] : checkpoint.base->tensors)
    if (!base.tensors.contains(name))
      throw DataError("{}: {} was frozen there and is not here; leave [adapter] as it was", where, name);
  throw DataError("{}, {}: its tensors have other shapes", where, checkpoint.base->directory);
}

}  // namespace tessera
