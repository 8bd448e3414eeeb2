#pragma once
#include <functional>
#include <string>

#include "job/job.h"

namespace tessera {

/// "jobs/mine.ini:14: [train] max_steps": where a key is set, or where it would be.
using Locate = std::function<std::string(const std::string& section, const std::string& key)>;

/// Checks across keys: throws JobError for settings that contradict each other.
void check_together(const Job& job, const Locate& locate);

}  // namespace tessera
