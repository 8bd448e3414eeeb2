#include "model/head.h"

#include <algorithm>

#include "base/number.h"
#include "model/parts/norm.h"

namespace tessera {
namespace {

/// The gradient of logits, each row of it in the place of theirs.
View over(const View& logits, DType dtype) {
  const int64_t row_bytes = logits.row_stride * size_of(logits.dtype);
  return {logits.data, dtype, logits.rows, logits.cols, row_bytes / size_of(dtype)};
}

}  // namespace

View embedding_table(const ModelSpec& model, const UnitSpec& unit, const FlatUnit& flat) {
  return MatrixPlace(unit, {model.embedding + ".weight"}, model.C).in(flat);
}

float embedding_factor(const ModelSpec& model, DType compute) {
  const bool rounded = model.rounds_embedding_scale && compute == DType::bf16;
  return rounded ? static_cast<float>(bf16(model.embedding_scale)) : model.embedding_scale;
}

HeadWeights head_weights(const ModelSpec& model, const UnitSpec& unit, const FlatUnit& flat, View embedding) {
  return {MatrixPlace(unit, {model.final_norm.module + ".weight"}, 1).in_a_row(flat),
          model.tied ? embedding : MatrixPlace(unit, {model.head + ".weight"}, model.C).in(flat)};
}

int64_t loss_chunk(DeviceKind device, int64_t V, int64_t max_T) {
  // Of one chunk.  Each reads the head's matrix twice and its gradient once, which it writes too: a CPU wants hundreds
  // of rows, so that those bytes hide behind the arithmetic, and a GPU a thousand.
  const int64_t logits_bytes = device == DeviceKind::cpu ? 192 << 20 : 512 << 20;
  return std::clamp<int64_t>(logits_bytes / (4 * V) / 64 * 64, 64, std::max<int64_t>(64, round_up(max_T, 64)));
}

int64_t logit_columns(int64_t V) { return round_up(V, 64); }

LossHead::LossHead(Device& device, Kernels& kernels, const ModelSpec& model, DType dtype, int64_t max_T)
    : kernels_(kernels),
      V_(model.V),
      norm_(rms_norm(model.final_norm)),
      transform_(model.logits),
      chunk_(loss_chunk(device.kind(), V_, max_T)),
      gathered_(device, dtype, max_T, model.C, "head"),
      normed_(device, dtype, max_T, model.C, "head"),
      d_normed_(device, dtype, max_T, model.C, "head"),
      inv_rms_(device, DType::f32, max_T, 1, "head"),
      logits_(device, DType::f32, chunk_, logit_columns(V_), "logits") {}

View LossHead::logits_of(int64_t rows) const { return logits_.view(rows).cols_from(0, V_); }

void LossHead::gather_and_norm(Stream& stream, View hidden, const int32_t* rows, int64_t S, const HeadWeights& w) {
  kernels_.embedding.forward(stream, rows, hidden, gathered_.view(S));
  kernels_.norm.rmsnorm_forward(stream, gathered_.view(S), w.norm, norm_, {}, normed_.view(S), inv_rms_.as<float>());
}

int64_t LossHead::rows_a_chunk(int64_t S) const {
  const int64_t chunks = std::max<int64_t>(1, ceil_div(S, chunk_));
  return round_up(ceil_div(S, chunks), 64);
}

void LossHead::forward(Stream& stream, View hidden, const HeadWeights& w, const Supervised& supervised,
                       double* loss_sum) {
  gather_and_norm(stream, hidden, supervised.rows, supervised.S, w);
  const int64_t rows = rows_a_chunk(supervised.S);
  for (int64_t first = 0; first < supervised.S; first += rows) {
    const int64_t n = std::min(rows, supervised.S - first);
    kernels_.linear.forward(stream, normed_.view().rows_from(first, n), w.head, {}, {}, logits_of(n));
    kernels_.loss.cross_entropy(stream, logits_of(n), supervised.targets + first, transform_, 0, {}, loss_sum);
  }
}

void LossHead::forward_backward(Stream& stream, View hidden, const HeadWeights& w, const Supervised& supervised,
                                float scale, double* loss_sum, View d, const HeadWeights& dw, Write matrix) {
  const int64_t S = supervised.S, rows = rows_a_chunk(S);
  gather_and_norm(stream, hidden, supervised.rows, S, w);
  int64_t first = 0;
  do {  // once at least: without a supervised token the gradients are zero
    const int64_t n = std::min(rows, S - first);
    const View normed = normed_.view().rows_from(first, n), logits = logits_of(n);
    const View d_logits = over(logits, normed.dtype);
    kernels_.linear.forward(stream, normed, w.head, {}, {}, logits);
    kernels_.loss.cross_entropy(stream, logits, supervised.targets + first, transform_, scale, d_logits, loss_sum);
    if (dw.head)
      kernels_.linear.backward_weight(stream, d_logits, normed, dw.head, first == 0 ? matrix : Write::accumulate);
    kernels_.linear.backward_input(stream, d_logits, w.head, d_normed_.view().rows_from(first, n), Write::overwrite);
    first += rows;
  } while (first < S);
  kernels_.norm.rmsnorm_backward(stream, gathered_.view(S), w.norm, norm_, inv_rms_.as<float>(), d_normed_.view(S),
                                 d_normed_.view(S), Write::overwrite, dw.norm);
  kernels_.embedding.scatter_rows(stream, supervised.rows, d_normed_.view(S), d);
}

void LossHead::logits(Stream& stream, View hidden, const int32_t* rows, int64_t B, const HeadWeights& w, View logits) {
  gather_and_norm(stream, hidden, rows, B, w);
  kernels_.linear.forward(stream, normed_.view(B), w.head, {}, {}, logits);
  kernels_.loss.transform_logits(stream, transform_, logits);
}

}  // namespace tessera
