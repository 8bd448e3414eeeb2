#include "trainer/saving.h"

#include <algorithm>

#include "base/error.h"
#include "checkpoint/rotation.h"
#include "cluster/agree.h"
#include "session/weights.h"

namespace tessera {

using Status = CheckpointWriter::Status;

Saving::Saving(ShardedModel& model, const Job& job, int rank)
    : model_(model),
      job_(job),
      rank_(rank),
      writes_(model.replicas() == nullptr || model.replicas()->rank() == 0),
      writer_(model.compute().device(), model.state().state_place) {}

void Saving::begin(const CheckpointInfo& info) {
  info_ = info;
  info_.world_size = model_.group().size();
  running_ = true;
  const std::filesystem::path directory = step_directory(job_.job.output_dir, info.step);
  if (rank_ == 0) remove_leftovers(directory);
  if (writes_) writer_.begin(directory, info_, model_.group().rank(), tensor_slices(model_), job_.checkpoint.async);
}

SaveReport Saving::report() const {
  SaveReport report;
  report.status = static_cast<int64_t>(writer_.status());
  if (writer_.status() == Status::written) {
    const ShardFile& shard = writer_.result();
    report.bytes = shard.bytes;
    report.xxh3 = shard.xxh3;
    report.metadata_bytes = shard.metadata_bytes;
    report.metadata_xxh3 = shard.metadata_xxh3;
    report.save_seconds = writer_.save_seconds();
    report.pause_seconds = writer_.pause_seconds();
  }
  return report;
}

std::optional<SaveMetrics> Saving::collect(const std::vector<SaveReport>& reports) {
  if (!running_) return std::nullopt;
  // The first group's ranks are world ranks 0 … S-1: they are the ones that write.
  const auto writers = static_cast<size_t>(model_.group().size());
  std::vector<ShardFile> files;
  SaveMetrics outcome{info_.step, 0, 0};
  for (size_t r = 0; r < writers; ++r) {
    const auto status = static_cast<Status>(reports[r].status);
    if (status == Status::failed) {
      running_ = false;
      if (static_cast<size_t>(rank_) == r) throw DataError("{}", writer_.error());
      throw FailedElsewhere(ExitCode::bad_data);
    }
    if (status != Status::written) return std::nullopt;
    files.push_back({shard_name(static_cast<int>(r), info_.world_size), reports[r].bytes, reports[r].xxh3,
                     reports[r].metadata_bytes, reports[r].metadata_xxh3});
    outcome.save_seconds = std::max(outcome.save_seconds, reports[r].save_seconds);
    outcome.pause_seconds = std::max(outcome.pause_seconds, reports[r].pause_seconds);
  }
  running_ = false;
  if (writes_) writer_.acknowledge();
  if (rank_ == 0) commit_checkpoint(job_.job.output_dir, info_, files, job_.checkpoint.save_total_limit);
  return outcome;
}

}  // namespace tessera
