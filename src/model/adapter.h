#pragma once
#include <functional>
#include <string>

#include "job/job.h"
#include "model/spec.h"

namespace tessera {

/// Puts the job's [adapter] into the description of its model: what is frozen, what has an adapter, what is trained
/// beside it.  Nothing without one.  What the job leaves out comes from base_adapter's adapter_config.json; what it
/// says has to agree with that.  Names and rules are PEFT's (LoraConfig).  Throws JobError for a target that matches
/// nothing, naming the nearest modules, and DataError where the file is wrong or asks for what is not supported.
/// `storage`: how a frozen linear of the layers is kept, by its module's name; without it as Storage::frozen.
void add_adapter(ModelSpec& model, const AdapterSettings& adapter,
                 const std::function<Storage(const std::string& module)>& storage = {});

/// The text of the adapter_config.json that PEFT reads beside the weights.  `base`: the directory of the model.
std::string adapter_config(const AdapterSettings& adapter, const Path& base);

}  // namespace tessera
