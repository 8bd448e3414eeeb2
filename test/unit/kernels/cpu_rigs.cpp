#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/gemm.h"
#include "support/cpu_rig.h"

namespace tessera::test {

std::vector<Rig> every_rig() {
  std::vector<Rig> rigs;
  for (const int threads : {1, 3}) rigs.push_back(cpu_rig(threads));
  if (CpuGemm::has_tiles()) {  // otherwise the products of those above are oneDNN's already
    Rig rig = cpu_rig(2);
    rig.name += ", products by oneDNN";
    rig.kernels = make_cpu_kernels(*rig.device, std::make_shared<CpuGemm>(*rig.device, /*with_tiles=*/false));
    rigs.push_back(rig);
  }
  return rigs;
}

}  // namespace tessera::test
