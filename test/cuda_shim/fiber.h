#pragma once
#include <cstddef>
#include <memory>

namespace cuda_shim {

/// A function with a stack of its own that can stop in its middle and go on later, on the thread that resumed it.
/// Fibers may be dropped where they stopped: nothing on their stacks is destroyed, as on a GPU nothing would be.
class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// From the next resume() on it runs `entry(argument)`, which must not throw.
  void start(void (*entry)(void*), void* argument);
  /// Runs the fiber until it yields or its entry returns.
  void resume();
  /// Inside the fiber: back to whoever resumed it.
  void yield();

 private:
  struct State;
  static void run(State* state);
  std::unique_ptr<State> state_;
};

}  // namespace cuda_shim
