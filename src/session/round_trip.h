#pragma once
#include <memory>
#include <vector>

#include "kernels/kernels.h"
#include "model/units.h"

namespace tessera {

/// What quantised weights are worth once they are dequantised, in fp32, on the CPU.
class RoundTrip {
 public:
  RoundTrip();
  ~RoundTrip();

  /// The elements of a whole tensor, as `storage` keeps them.
  std::vector<float> of(const TensorSpec& tensor, Storage storage, const std::vector<float>& elements);

 private:
  void nf4(const std::vector<float>& elements, bool twice, View to);
  void int8(const std::vector<float>& elements, View to);

  std::unique_ptr<Device> device_;
  std::unique_ptr<Kernels> kernels_;
  std::unique_ptr<Stream> stream_;
};

}  // namespace tessera
