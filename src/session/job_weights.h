#pragma once
#include <optional>

#include "checkpoint/checkpoint.h"
#include "session/session.h"

namespace tessera {

/// Fills the session's model with the checkpoint's weights and what the optimizer keeps; frozen weights, and without a
/// checkpoint all, with what the job begins with.  Waits until they are there.  Returns what the frozen ones are, for
/// the checkpoints to come; nothing where there are none.  Collective: fails on all ranks together, with DataError
/// where the checkpoint has another base, or another adapter.
std::optional<BaseModel> load_job_weights(Session& session, const CheckpointReader* checkpoint);

}  // namespace tessera
