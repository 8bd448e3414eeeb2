#pragma once
#include <functional>
#include <string>

#include "job/job.h"

namespace tessera {

/// "jobs/mine.ini:14: [train] max_steps": where a key was given, or where it would be.
using Locate = std::function<std::string(const std::string& section, const std::string& key)>;

/// What no single key can tell: settings that contradict each other.  Throws JobError.
void check_together(const Job& job, const Locate& locate);

}  // namespace tessera
