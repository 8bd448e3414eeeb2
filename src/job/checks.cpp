#include "job/checks.h"

#include <limits>
#include <utility>

#include "base/amount.h"
#include "base/error.h"

namespace tessera {

void check_together(const Job& job, const Locate& locate) {
  if (job.data.val_set_size > 0 && !job.eval_datasets.empty())
    throw JobError("{}: excludes [eval_dataset.{}]; remove val_set_size or the evaluation data sets",
                   locate("data", "val_set_size"), job.eval_datasets.front().name);
  if (job.data.val_set_size == 0 && job.eval_datasets.empty())
    for (const auto& [key, value] :
         {std::pair{"eval_steps", job.eval.eval_steps}, {"max_samples", job.eval.max_samples}})
      if (value > 0)
        throw JobError("{}: there is no evaluation data; set [data] val_set_size or add an [eval_dataset.NAME]",
                       locate("eval", key));
  for (const auto& [section, sets] : {std::pair{"dataset", &job.datasets}, {"eval_dataset", &job.eval_datasets}})
    for (const DatasetSettings& set : *sets)
      if (set.shards_idx >= set.shards)
        throw JobError("{}: is {}, but there are {} shards ([{}.{}] shards), which count from 0",
                       locate(fmt::format("{}.{}", section, set.name), "shards_idx"), set.shards_idx, set.shards,
                       section, set.name);
  if (job.model.quantization != Quantization::none && job.adapter.type == AdapterType::none)
    throw JobError("{}: weights that are trained cannot be quantised; add [adapter] type = lora, or leave it out",
                   locate("model", "quantization"));
  constexpr int64_t most_tokens = std::numeric_limits<int32_t>::max();  // places in a batch are 32-bit numbers
  if (Amount(job.train.micro_batch_size) * job.data.sequence_len > most_tokens)
    throw JobError(
        "{}: {} sequences of {} tokens ([data] sequence_len) exceed {} tokens per micro-batch; lower one of the two",
        locate("train", "micro_batch_size"), job.train.micro_batch_size, job.data.sequence_len, most_tokens);
}

}  // namespace tessera
