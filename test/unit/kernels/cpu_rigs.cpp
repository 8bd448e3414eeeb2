#include "support/cpu_rig.h"

namespace tessera::test {

std::vector<Rig> every_rig() {
  std::vector<Rig> rigs;
  for (const int threads : {1, 3}) rigs.push_back(cpu_rig(threads));
  return rigs;
}

}  // namespace tessera::test
