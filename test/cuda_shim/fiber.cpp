#include "cuda_shim/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#include "cuda_shim/sanitizer.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace cuda_shim {
namespace {

constexpr size_t stack_bytes = 256 << 10;  // touched as far as it is used

#if defined(__x86_64__)

// A tenth of the time of swapcontext, which asks the kernel for its signal mask at every switch.
extern "C" void cuda_shim_switch_stack(void** save, void* load);
asm(R"(
.text
.globl cuda_shim_switch_stack
.type cuda_shim_switch_stack, @function
cuda_shim_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuda_shim_switch_stack, .-cuda_shim_switch_stack
)");

/// Where a thread of execution stands while another runs.
class Context {
 public:
  /// On the first switch to it, `entry` runs on `stack`; it finds its argument where it put it.
  void prepare(char* stack, void (*entry)()) {
    auto* top = reinterpret_cast<void**>(stack + stack_bytes);
    *--top = nullptr;  // the place of a caller, and the alignment that a call leaves
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--top = nullptr;  // the registers that a switch restores
    stack_pointer_ = top;
  }
  static void switch_over(Context& from, Context& to) {
    cuda_shim_switch_stack(&from.stack_pointer_, to.stack_pointer_);
  }

 private:
  void* stack_pointer_ = nullptr;
};

#else

class Context {
 public:
  void prepare(char* stack, void (*entry)()) {
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack;
    context_.uc_stack.ss_size = stack_bytes;
    makecontext(&context_, entry, 0);
  }
  static void switch_over(Context& from, Context& to) { swapcontext(&from.context_, &to.context_); }

 private:
  ucontext_t context_;
};

#endif

}  // namespace

struct Fiber::State {
  char* stack = nullptr;
  Context fiber, resumer;
  StackSwitch sanitizer;
  void (*entry)(void*) = nullptr;
  void* argument = nullptr;

  static thread_local State* starting;
};
thread_local Fiber::State* Fiber::State::starting = nullptr;

Fiber::Fiber() : state_(std::make_unique<State>()) {
  void* const stack =
      mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack == MAP_FAILED) throw std::bad_alloc();
  state_->stack = static_cast<char*>(stack);
}

Fiber::~Fiber() { munmap(state_->stack, stack_bytes); }

void Fiber::start(void (*entry)(void*), void* argument) {
  state_->entry = entry, state_->argument = argument;
  allow_access(state_->stack, stack_bytes);  // a dropped fiber leaves the marks of its frames behind
  state_->fiber.prepare(state_->stack, [] { run(State::starting); });
}

void Fiber::run(State* state) {
  state->sanitizer.arrived_in_fiber();
  state->entry(state->argument);
  state->sanitizer.leave_fiber_for_good();
  Context::switch_over(state->fiber, state->resumer);
}

void Fiber::resume() {
  State::starting = state_.get();
  state_->sanitizer.enter_fiber(state_->stack, stack_bytes);
  Context::switch_over(state_->resumer, state_->fiber);
  state_->sanitizer.back_in_resumer();
}

void Fiber::yield() {
  state_->sanitizer.leave_fiber();
  Context::switch_over(state_->fiber, state_->resumer);
  state_->sanitizer.arrived_in_fiber();
}

}  // namespace cuda_shim
