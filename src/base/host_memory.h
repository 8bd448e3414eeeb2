#pragma once
#include <cstdint>
#include <filesystem>

namespace tessera {

/// The bytes available to the processes of this host: memory and swap space; less if a control group (a container, a
/// batch system) limits this process.
int64_t host_memory_bytes();

/// The largest resident set of this process so far.
int64_t peak_host_bytes();

/// The least limit of the groups that the file `membership` names (/proc/self/cgroup) and of those above them, below
/// `root` (/sys/fs/cgroup), of either version; the largest int64 where none is set.
int64_t control_group_limit(const std::filesystem::path& membership, const std::filesystem::path& root);

}  // namespace tessera
