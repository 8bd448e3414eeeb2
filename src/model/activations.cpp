#include "model/activations.h"

namespace tessera {
namespace {

std::vector<Buffer> make_buffers(Device& device, DType dtype, int64_t count, int64_t rows, int64_t cols) {
  std::vector<Buffer> buffers;
  for (int64_t i = 0; i < count; ++i) buffers.emplace_back(device, dtype, rows, cols, "activations");
  return buffers;
}

/// What attention reads: with its spare rows, zeroed.
Buffer make_read_by_attention(Device& device, DType dtype, int64_t rows, int64_t cols) {
  const int64_t spare = attention_spare_rows(device.kind());
  Buffer buffer(device, dtype, rows + spare, cols, "activations");
  if (spare > 0) buffer.set_zero();
  return buffer;
}

std::vector<Buffer> make_read_by_attention(Device& device, DType dtype, int64_t count, int64_t rows, int64_t cols) {
  std::vector<Buffer> buffers;
  for (int64_t i = 0; i < count; ++i) buffers.push_back(make_read_by_attention(device, dtype, rows, cols));
  return buffers;
}

/// The layer's own buffer, or the one that all share.
const Buffer& place(const std::vector<Buffer>& buffers, int64_t layer) {
  return buffers.size() == 1 ? buffers.front() : buffers[static_cast<size_t>(layer)];
}

}  // namespace

ActivationStore::ActivationStore(Device& device, const ModelConfig& c, DType dtype, Checkpointing checkpointing,
                                 int64_t max_T)
    : config_(c), max_T_(max_T) {
  const int64_t kept = checkpointing == Checkpointing::full ? 1 : c.L;
  const int64_t norms = checkpointing == Checkpointing::none ? c.L : 1;
  const auto make = [&](int64_t count, int64_t cols) { return make_buffers(device, dtype, count, max_T, cols); };
  hidden_ = make(c.L + 1, c.C);
  normed_1_ = make(norms, c.C);
  qkv_ = make_read_by_attention(device, dtype, kept, max_T, (c.H + 2 * c.G) * c.D);
  if (c.qk_norm) qk_normed_ = make_read_by_attention(device, dtype, kept, max_T, (c.H + c.G) * c.D);
  attended_ = make_read_by_attention(device, dtype, c.L, max_T, c.H * c.D);
  log_sum_exp_ = make_read_by_attention(device, DType::f32, c.L, max_T, c.H);
  middle_ = make(kept, c.C);
  normed_2_ = make(norms, c.C);
  gate_up_ = make(kept, 2 * c.F);
  activated_ = Buffer(device, dtype, max_T, c.F, "activations");
  const auto floats = [&](int64_t cols) { return Buffer(device, DType::f32, max_T, cols, "activations"); };
  for (int64_t i = 0; i < kept; ++i)
    floats_.push_back({floats(1), floats(1), floats(c.qk_norm ? c.H : 0), floats(c.qk_norm ? c.G : 0)});

  residual_gradient_ = Buffer(device, dtype, max_T, c.C, "activations");
  d_normed_ = Buffer(device, dtype, max_T, c.C, "activations");
  d_attended_ = make_read_by_attention(device, dtype, max_T, c.H * c.D);
  d_qkv_ = Buffer(device, dtype, max_T, (c.H + 2 * c.G) * c.D, "activations");
}

LayerActivations ActivationStore::layer(int64_t layer, int64_t T) const {
  LayerActivations a;
  a.input = hidden(layer, T);
  a.normed_1 = place(normed_1_, layer).view(T);
  a.qkv = place(qkv_, layer).view(T);
  if (config_.qk_norm) a.qk_normed = place(qk_normed_, layer).view(T);
  a.attended = place(attended_, layer).view(T);
  a.middle = place(middle_, layer).view(T);
  a.normed_2 = place(normed_2_, layer).view(T);
  a.gate_up = place(gate_up_, layer).view(T);
  a.activated = activated_.view(T);
  const Floats& f = floats_.size() == 1 ? floats_.front() : floats_[static_cast<size_t>(layer)];
  a.inv_rms_1 = f.inv_rms_1.as<float>();
  a.inv_rms_2 = f.inv_rms_2.as<float>();
  a.inv_rms_q = f.inv_rms_q.as<float>();
  a.inv_rms_k = f.inv_rms_k.as<float>();
  a.log_sum_exp = place(log_sum_exp_, layer).as<float>();
  return a;
}

LayerGradients ActivationStore::gradients(int64_t T) const {
  return {d_normed_.view(T), d_attended_.view(T), d_qkv_.view(T)};
}

}  // namespace tessera
