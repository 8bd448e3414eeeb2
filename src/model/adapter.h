#pragma once
#include "job/job.h"
#include "model/spec.h"

namespace tessera {

/// Puts the job's [adapter] into the description of its model: what is frozen, what has an adapter, what is trained
/// beside it.  Nothing without one.  What the job leaves out comes from base_adapter's adapter_config.json; what it
/// says has to agree with that.  Names and rules are PEFT's (LoraConfig).  Throws JobError for a target that matches
/// nothing, naming the nearest modules, and DataError where the file is wrong or asks for what is not supported.
void add_adapter(ModelSpec& model, const AdapterSettings& adapter);

}  // namespace tessera
