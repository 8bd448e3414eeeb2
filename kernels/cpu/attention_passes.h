#pragma once
#include <vector>

#include "kernels/cpu/gemm.h"

/// Varlen causal attention on the CPU.  A document's queries are cut into blocks, each query with the heads that share
/// its key/value head, and its keys into chunks; attention_products.cpp multiplies blocks with chunks (in bf16 where
/// the processor has it: AMX, AVX-512), and attention_softmax.cpp does what lies between two products.
namespace tessera {

struct AttentionForward {
  ConstView q, k, v;
  View out;
  float* log_sum_exp;
};

struct AttentionBackward {
  ConstView q, k, v, out;
  const float* log_sum_exp;
  ConstView dout;
  View dq, dk, dv;
};

/// What belongs together in one document: a key/value head and its query heads.
struct AttentionTask {
  int64_t begin, length;  // the document's tokens
  int64_t key_head;
};

class CpuAttention {
 public:
  CpuAttention(Device& device, CpuGemm& gemm);

  /// Both at once, on the calling thread and the others of the device.
  void forward(const AttentionShape& shape, const AttentionForward& tensors);
  void backward(const AttentionShape& shape, const AttentionBackward& tensors);

 private:
  class Work;          // attention_work.h: what both passes share
  class ForwardWork;   // attention_forward.cpp
  class BackwardWork;  // attention_backward.cpp

  /// One thread's memory; grows to what the longest document so far needs.
  struct Memory {
    Buffer blocks, products;
  };

  Device& device_;
  CpuGemm& gemm_;
  const int threads_;
  std::vector<Memory> memory_;  // one a thread
};

/// The call's tasks, and into how many parts each is cut so that all threads have work.
struct AttentionTasks {
  AttentionTasks(const AttentionShape& shape, int threads);
  std::vector<AttentionTask> tasks;
  int64_t longest = 0;  // document
  int parts = 1;
};

}  // namespace tessera
