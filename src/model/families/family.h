#pragma once
#include <filesystem>
#include <string>

#include "model/spec.h"

/// The families of models: one file each, from config.json to a ModelSpec, and a row in one table (family.cpp).
namespace tessera {

/// Reads a config.json in the spellings of transformers 4 and 5.  What would change the result and is unknown here is a
/// DataError that names it; `where` stands before it.
ModelSpec parse_model(const std::string& config, const std::string& where);
/// Of DIRECTORY/config.json.  Throws JobError where there is no such directory.
ModelSpec load_model(const std::filesystem::path& directory);

}  // namespace tessera
