#pragma once

namespace tessera {

/// What of the contract this build can do; a job that asks for more is refused, never half obeyed.
struct BuildParts {
  bool offload = false;  // shard.offload = optimizer, params
};
inline constexpr BuildParts build_parts;

}  // namespace tessera
