#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

/// libFuzzer's own changes of bytes, for custom mutators.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

/// Changes that leave an input a whole document, so that what lies behind the parser is reached.
namespace tessera::fuzz {

/// A JSON text in which one value or member is another one, moved, doubled or gone.  Texts that are no JSON, or nested
/// too deeply, have their bytes changed.
std::string changed_json(std::string_view text, unsigned seed);

/// A safetensors file whose header is changed so, with its new length before it; empty where the file has none.
std::string changed_safetensors(std::string_view file, unsigned seed);

/// Puts `change` of the input in its place, where that has at most max_size bytes and the draw is for it; else changes
/// bytes.
size_t mutate(uint8_t* data, size_t size, size_t max_size, unsigned seed,
              const std::function<std::string(std::string_view)>& change);

}  // namespace tessera::fuzz
