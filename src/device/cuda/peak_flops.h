#pragma once
#include <array>
#include <string_view>

#include "device/dtype.h"

namespace tessera::cuda {

/// FLOP/s of dense products with fp32 accumulation, by a GPU's name as CUDA gives it ("NVIDIA H100 80GB HBM3"); 0 for
/// one that is not in the table, a MIG slice among them.  NVIDIA's data sheets print the bf16 rates of most with
/// sparsity, twice these: A100 (2021), H100 (SXM, NVL) and H100 PCIe (2022), H200 (SXM, NVL), HGX B200, L40S; for the
/// RTX cards the architecture white papers of Ada (appendix A) and RTX Blackwell (appendix A).
inline double peak_flops(std::string_view name, DType dtype) {
  struct Peak {
    std::string_view begins, holds;  ///< the name, without the brand; `holds` empty: nothing behind it
    double bf16, fp32;
  };
  constexpr std::array peaks = {Peak{"H100 ", "HBM", 989.4e12, 66.9e12}, Peak{"H100 PCIe", "", 756e12, 51.2e12},
                                Peak{"H100 NVL", "", 835.5e12, 60e12},   Peak{"H200", "", 989.4e12, 66.9e12},
                                Peak{"H200 NVL", "", 835.5e12, 60e12},   Peak{"GH200 ", "GB", 989.4e12, 66.9e12},
                                Peak{"B200", "", 2250e12, 75e12},        Peak{"A100-", "GB", 312e12, 19.5e12},
                                Peak{"A100 ", "GB", 312e12, 19.5e12},    Peak{"L40S", "", 362.1e12, 91.6e12},
                                Peak{"RTX 4090", "", 165.2e12, 82.6e12}, Peak{"RTX 5090", "", 209.5e12, 104.8e12}};
  for (const std::string_view brand : {"NVIDIA ", "GeForce "})
    if (name.starts_with(brand)) name.remove_prefix(brand.size());
  if (name.find("MIG") != std::string_view::npos) return 0;
  for (const Peak& peak : peaks) {
    const bool matches =
        peak.holds.empty() ? name == peak.begins : name.starts_with(peak.begins) && name.find(peak.holds) != name.npos;
    if (matches) return dtype == DType::bf16 ? peak.bf16 : peak.fp32;
  }
  return 0;
}

}  // namespace tessera::cuda
