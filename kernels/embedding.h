#pragma once
#include "kernels/subject.h"

namespace tessera {

/// Rows of a table, looked up and put back.
class EmbeddingKernels : public KernelSubject {
 public:
  /// y[t,:] = factor · table[tokens[t],:], rounded once; every bit of the table's where the factor is 1.  tokens: T ids
  /// below V; table [V, C], y [T, C]: compute type.
  void forward(Stream& stream, const int32_t* tokens, ConstView table, View y, float factor = 1) {
    timed(stream, Phase::elementwise, "embedding_forward",
          [&] { enqueue_embedding_forward(stream, tokens, table, y, factor); });
  }
  /// dtable[tokens[t],:] += factor · dy[t,:], in the order of t for each row; the row of the token `padding` stays as
  /// it is, as torch's nn.Embedding has it (-1: all are added to).  dy [T, C]: compute type; dtable [V, C]: fp32.
  void backward(Stream& stream, const int32_t* tokens, ConstView dy, View dtable, float factor = 1,
                int32_t padding = -1) {
    timed(stream, Phase::elementwise, "embedding_backward",
          [&] { enqueue_embedding_backward(stream, tokens, dy, dtable, factor, padding); });
  }
  /// y[rows[s],:] = x[s,:], all other rows of y 0.  x [S, C], y [T, C]: compute type; rows: S of them, ascending.
  void scatter_rows(Stream& stream, const int32_t* rows, ConstView x, View y) {
    timed(stream, Phase::elementwise, "scatter_rows", [&] { enqueue_scatter_rows(stream, rows, x, y); });
  }

 private:
  virtual void enqueue_embedding_forward(Stream&, const int32_t* tokens, ConstView table, View y, float factor) = 0;
  virtual void enqueue_embedding_backward(Stream&, const int32_t* tokens, ConstView dy, View dtable, float factor,
                                          int32_t padding) = 0;
  virtual void enqueue_scatter_rows(Stream&, const int32_t* rows, ConstView x, View y) = 0;
};

}  // namespace tessera
