#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "device/device.h"

namespace tessera::bench {

/// What is measured, by the letters of kernels.h.
struct Sizes {
  int64_t C, H, G, D, F, V;
  int64_t T;                  ///< tokens of a micro-batch
  int64_t longest;            ///< tokens of a document that fills a sequence
  int64_t shard;              ///< elements of the flat shard
  int64_t sequences, cached;  ///< of attention_decode, and the tokens that each has in its cache
  int64_t square;             ///< the side of the product that gives the GEMM peak
  int64_t copied;             ///< bytes of the copy that gives the bandwidth
  int64_t beyond_caches;      ///< bytes of the operands that calls take turns with, so that none finds its own cached
  double typical_document;    ///< tokens: the median of the packed ones
  double seconds;             ///< that a kernel is measured for
  int64_t loss_rows = 0;      ///< tokens whose logits exist at once: as many as the program's, by sizes_for()
};

/// A layer of Llama-3.2-1B, which a GPU is busy with, or of SmolLM2-135M.
constexpr Sizes llama_1b{.C = 2048,
                         .H = 32,
                         .G = 8,
                         .D = 64,
                         .F = 8192,
                         .V = 128256,
                         .T = 8192,
                         .longest = 4096,
                         .shard = int64_t{64} << 20,
                         .sequences = 32,
                         .cached = 4096,
                         .square = 8192,
                         .copied = int64_t{1} << 30,
                         .beyond_caches = int64_t{512} << 20,
                         .typical_document = 400,
                         .seconds = 0.1};
constexpr Sizes smollm2_135m{.C = 576,
                             .H = 9,
                             .G = 3,
                             .D = 64,
                             .F = 1536,
                             .V = 49152,
                             .T = 1024,
                             .longest = 1024,
                             .shard = int64_t{4} << 20,
                             .sequences = 4,
                             .cached = 1024,
                             .square = 1024,
                             .copied = int64_t{256} << 20,
                             .beyond_caches = int64_t{128} << 20,
                             .typical_document = 150,
                             .seconds = 0.3};
/// Only to see that everything runs.
constexpr Sizes tiny{.C = 128,
                     .H = 4,
                     .G = 2,
                     .D = 32,
                     .F = 256,
                     .V = 1024,
                     .T = 64,
                     .longest = 64,
                     .shard = 4096,
                     .sequences = 2,
                     .cached = 32,
                     .square = 128,
                     .copied = 1 << 20,
                     .beyond_caches = 1 << 16,
                     .typical_document = 20,
                     .seconds = 0.002};

/// The letters that other sizes may be given for, each with the size that it means.
using OtherSizes = std::map<std::string, int64_t>;
const std::map<std::string, int64_t Sizes::*>& lettered_sizes();

/// Of a device's model, but for `others`.
Sizes sizes_for(DeviceKind kind, bool quick, const OtherSizes& others);

}  // namespace tessera::bench
