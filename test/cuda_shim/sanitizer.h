#pragma once
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

/// What AddressSanitizer must be told about stacks that change and memory that nobody may touch.  Nothing where the
/// program is built without it.
namespace cuda_shim {

#if defined(__SANITIZE_ADDRESS__)

constexpr bool sanitizer_watches_memory = true;
inline void forbid_access(const void* memory, size_t bytes) { ASAN_POISON_MEMORY_REGION(memory, bytes); }
inline void allow_access(const void* memory, size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(memory, bytes); }

/// The calls around one fiber's switches; see sanitizer/common_interface_defs.h.
class StackSwitch {
 public:
  void enter_fiber(const void* stack, size_t bytes) { __sanitizer_start_switch_fiber(&resumer_, stack, bytes); }
  void back_in_resumer() { __sanitizer_finish_switch_fiber(resumer_, nullptr, nullptr); }
  void arrived_in_fiber() { __sanitizer_finish_switch_fiber(fiber_, &resumer_stack_, &resumer_bytes_); }
  void leave_fiber() { __sanitizer_start_switch_fiber(&fiber_, resumer_stack_, resumer_bytes_); }
  void leave_fiber_for_good() {
    fiber_ = nullptr;
    __sanitizer_start_switch_fiber(nullptr, resumer_stack_, resumer_bytes_);
  }

 private:
  void* resumer_ = nullptr;
  void* fiber_ = nullptr;
  const void* resumer_stack_ = nullptr;
  size_t resumer_bytes_ = 0;
};

#else

constexpr bool sanitizer_watches_memory = false;
inline void forbid_access(const void*, size_t) {}
inline void allow_access(const void*, size_t) {}

class StackSwitch {
 public:
  void enter_fiber(const void*, size_t) {}
  void back_in_resumer() {}
  void arrived_in_fiber() {}
  void leave_fiber() {}
  void leave_fiber_for_good() {}
};

#endif

}  // namespace cuda_shim
