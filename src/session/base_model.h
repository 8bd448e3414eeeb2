#pragma once
#include "checkpoint/checkpoint.h"
#include "cluster/communicator.h"
#include "job/job.h"
#include "model/spec.h"
#include "session/weights.h"

namespace tessera {

/// The checksums of the frozen tensors, as checkpoints keep them: of a tensor the XXH3 over those of its pieces of 1
/// MiB of elements in fp32, so that any number of ranks computes the same together.  `read` gives the elements.
/// Collective: each rank reads every size()-th piece.  Throws on all ranks where `read` throws on one.
BaseModel describe_base(const Job& job, const ModelSpec& spec, const ReadElements& read, Communicator& world);
/// By this rank alone.
BaseModel describe_base(const Job& job, const ModelSpec& spec, const ReadElements& read);

/// Throws DataError where a checkpoint was trained with an [adapter] that computes something else than the job's.
void require_same_adapter(const CheckpointInfo& checkpoint, const Job& job);

/// Throws DataError, with the first tensor that differs, where a checkpoint stands on another base than the job's.
void require_same_base(const CheckpointInfo& checkpoint, const BaseModel& base);

}  // namespace tessera
