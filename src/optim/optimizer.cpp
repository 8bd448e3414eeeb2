#include "optim/optimizer.h"

#include <algorithm>
#include <array>

#include "optim/adamw.h"

namespace tessera {
namespace {

struct Row {
  OptimizerName name;
  std::vector<OptimizerState> (*states)();
  std::unique_ptr<Optimizer> (*make)(ShardedModel& model, const TrainSettings& settings);
};

template <typename Rule>
std::unique_ptr<Optimizer> make(ShardedModel& model, const TrainSettings& settings) {
  return std::make_unique<Rule>(model, settings);
}

constexpr std::array rows = {Row{OptimizerName::adamw, AdamW::states, make<AdamW>},
                             Row{OptimizerName::adamw_8bit, AdamW::states_in_8_bits, make<AdamW>}};

const Row& row_of(const TrainSettings& settings) { return *std::ranges::find(rows, settings.optimizer, &Row::name); }

}  // namespace

std::vector<OptimizerState> optimizer_states(const TrainSettings& settings) { return row_of(settings).states(); }

std::unique_ptr<Optimizer> make_optimizer(ShardedModel& model, const TrainSettings& settings) {
  return row_of(settings).make(model, settings);
}

}  // namespace tessera
