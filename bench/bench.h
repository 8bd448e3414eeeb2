#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/operands.h"
#include "bench/sizes.h"
#include "kernels/kernels.h"

/// Measures every kernel of kernels.h against what the device can do: the time of a call in a row of calls, as the
/// device's own timestamps say, beside the time that moving its operands or its multiplications would take alone.
namespace tessera::bench {

/// What is called: a kernel of kernels.h, and which of a step's calls of it where there are several.
struct Called {
  std::string name, call = "";
};

struct Measurement {
  std::string name, call;
  std::string shape;  ///< of what, in words, `call` first
  std::string dtype;
  double seconds;  ///< 0 where calls are counted only
  double bytes, flops;
};

/// Of a device, as measured.
struct Ceilings {
  double copy_bytes_per_second = 0;  ///< read and written by a large copy
  double bf16_flops_per_second = 0, f32_flops_per_second = 0;
  double launch_seconds = 0;  ///< of a call that has next to nothing to do

  double bound_seconds(const Measurement& m) const;
};

enum class Work { measured, counted };  ///< counted: what a call moves and computes, without memory for it

class Bench {
 public:
  /// `reported`: called with each measurement when it is made.
  Bench(Device& device, const Sizes& sizes, Work work, std::function<void(const Measurement&)> reported);

  /// Makes the operands of one call, and returns the call.
  using Call = std::function<void()>;
  using Make = std::function<Call(Operands&)>;
  /// Reports it, and returns it.
  Measurement measure(const Called& called, const std::string& shape, DType dtype, double flops, const Make& make);

  Ceilings measure_ceilings();
  void measure_matrix_products(DType dtype);
  void measure_attention(DType dtype);
  void measure_rows(DType dtype);        ///< what goes through the rows of activations
  void measure_vocabulary(DType dtype);  ///< embedding and loss
  void measure_shard(DType dtype);       ///< what goes through the flat shard
  void measure_adapter(DType dtype);     ///< what adapters and quantised bases add
  void measure_without_type();           ///< what has no compute type

 private:
  void linear(const std::string& call, DType dtype, int64_t rows, int64_t in, int64_t out, DType result);
  void linear_added(const std::string& call, DType dtype, int64_t in, int64_t out);
  void attention(const std::string& call, DType dtype, const std::vector<int32_t>& cu_seqlens, float softcap = 0);
  void attention_decode(DType dtype);
  void head_rmsnorm(DType dtype);
  void rope(DType dtype);
  void gated(DType dtype, Activation activation);
  void scale(DType dtype);
  /// Median time of one of the calls, which take turns.
  double seconds_of(const std::vector<Call>& calls);
  double timed(const std::vector<Call>& calls, int64_t runs);
  double launch_seconds();

  Device& device_;
  const Sizes s_;
  const Work work_;
  std::function<void(const Measurement&)> reported_;
  std::unique_ptr<Kernels> kernels_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<Timestamp> begin_, end_;
  RandomNumbers random_;
};

/// "bf16", "f32".
std::string key_of(DType dtype);

}  // namespace tessera::bench
