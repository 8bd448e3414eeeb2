#include "kernels/kernels.h"

#include <algorithm>
#include <utility>

#include "device/gpu_library.h"
#include "kernels/cpu/cpu_kernels.h"

namespace tessera {

std::array<KernelSubject*, 13> KernelSet::all() const {
  return {linear.get(),       embedding.get(), norm.get(),   rotary.get(),    attention.get(),
          activation.get(),   residual.get(),  loss.get(),   optimizer.get(), memory.get(),
          quantization.get(), dora.get(),      dropout.get()};
}

Kernels::Kernels(KernelSet set)
    : set_(std::move(set)),
      linear(*set_.linear),
      embedding(*set_.embedding),
      norm(*set_.norm),
      rotary(*set_.rotary),
      attention(*set_.attention),
      activation(*set_.activation),
      residual(*set_.residual),
      loss(*set_.loss),
      optimizer(*set_.optimizer),
      memory(*set_.memory),
      quantization(*set_.quantization),
      dora(*set_.dora),
      dropout(*set_.dropout) {}

int64_t Kernels::workspace_bytes(const LargestShapes& largest) const {
  int64_t most = 0;
  for (KernelSubject* subject : set_.all()) most = std::max(most, subject->workspace_bytes(largest));
  return most;
}

void Kernels::profile(Profiler& profiler) {
  for (KernelSubject* subject : set_.all()) subject->profile(profiler);
}

std::unique_ptr<Kernels> make_kernels(Device& device, const KernelSettings& settings) {
  if (device.kind() == DeviceKind::cpu) return make_cpu_kernels(device);
  using Make = Kernels*(Device&, const KernelSettings&);
  return std::unique_ptr<Kernels>(GpuLibrary::get().find<Make>("tessera_gpu_make_kernels")(device, settings));
}

}  // namespace tessera
