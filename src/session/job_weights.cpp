#include "session/job_weights.h"

#include <functional>

#include "cluster/agree.h"
#include "model/units.h"
#include "session/base_model.h"
#include "session/compute_device.h"
#include "session/initial_weights.h"
#include "session/weights.h"

namespace tessera {

std::optional<BaseModel> load_job_weights(Session& session, const CheckpointReader* checkpoint) {
  const Job& job = session.job();
  std::optional<InitialWeights> initial;
  agree(session.world(), "opening the weights", [&] {
    if (checkpoint != nullptr) require_same_adapter(checkpoint->info(), job);
    initial.emplace(job, session.spec(), compute_threads(job, session.cluster()));
  });
  const WeightSource source{std::bind_front(&InitialWeights::read, &*initial),
                            std::bind_front(&InitialWeights::nf4, &*initial)};
  std::optional<BaseModel> base;
  if (parameter_count(session.spec(), Band::frozen) > 0)
    base = describe_base(job, session.spec(), source.elements, session.world());
  agree(
      session.world(), "reading the weights",
      [&] {
        if (checkpoint != nullptr && base) require_same_base(checkpoint->info(), *base);
        if (checkpoint != nullptr)
          load_checkpoint(session.model(), source, *checkpoint);
        else
          load_weights(session.model(), source);
        session.model().synchronize();
      },
      Patience::unlimited);
  if (checkpoint == nullptr && job.adapter.base_adapter.empty()) load_row_norms(session.model());
  return base;
}

}  // namespace tessera
