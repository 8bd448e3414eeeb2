#include "model/layer.h"

#include <cmath>

namespace tessera {

AttentionShape DecoderLayer::attention_shape(int64_t layer, const Documents& documents) const {
  const ModelConfig& c = config_;
  return {c.H,
          c.G,
          c.D,
          c.window[static_cast<size_t>(layer)],
          1.0f / std::sqrt(static_cast<float>(c.D)),
          documents.cu_seqlens,
          documents.N,
          documents.cu_seqlens_on_device};
}

DecoderLayer::Heads DecoderLayer::heads(const LayerActivations& a) const {
  const int64_t q = config_.H * config_.D, k = config_.G * config_.D;
  const View& qk = config_.qk_norm ? a.qk_normed : a.qkv;
  return {qk.cols_from(0, q), qk.cols_from(q, k), a.qkv.cols_from(q + k, k)};
}

void DecoderLayer::attention_inputs(Stream& stream, const LayerWeights& w, const Documents& documents,
                                    const LayerActivations& a) const {
  const ModelConfig& c = config_;
  const auto eps = static_cast<float>(c.rms_norm_eps);
  const int64_t q = c.H * c.D, k = c.G * c.D;
  kernels_.norm.rmsnorm_forward(stream, a.input, w.input_norm, eps, a.normed_1, a.inv_rms_1);
  kernels_.linear.forward(stream, a.normed_1, w.qkv, w.qkv_bias, {}, a.qkv);
  if (c.qk_norm) {
    kernels_.norm.rmsnorm_forward(stream, a.qkv.cols_from(0, q), w.q_norm, eps, a.qk_normed.cols_from(0, q),
                                  a.inv_rms_q);
    kernels_.norm.rmsnorm_forward(stream, a.qkv.cols_from(q, k), w.k_norm, eps, a.qk_normed.cols_from(q, k),
                                  a.inv_rms_k);
  }
  const View& rotated = c.qk_norm ? a.qk_normed : a.qkv;
  kernels_.rotary.rope_forward(stream, documents.cos, documents.sin, c.D, rotated.cols_from(0, q + k));
}

void DecoderLayer::mlp_inputs(Stream& stream, const LayerWeights& w, const LayerActivations& a) const {
  kernels_.linear.forward(stream, a.attended, w.o, w.o_bias, a.input, a.middle);
  kernels_.norm.rmsnorm_forward(stream, a.middle, w.post_norm, static_cast<float>(config_.rms_norm_eps), a.normed_2,
                                a.inv_rms_2);
  kernels_.linear.forward(stream, a.normed_2, w.gate_up, w.gate_up_bias, {}, a.gate_up);
}

void DecoderLayer::mlp_output(Stream& stream, const LayerWeights& w, const LayerActivations& a, View output) const {
  kernels_.activation.swiglu_forward(stream, a.gate_up, a.activated);
  kernels_.linear.forward(stream, a.activated, w.down, w.down_bias, a.middle, output);
}

void DecoderLayer::forward(Stream& stream, int64_t layer, const LayerWeights& w, const Documents& documents,
                           const LayerActivations& a, View output) const {
  attention_inputs(stream, w, documents, a);
  const Heads h = heads(a);
  kernels_.attention.forward(stream, attention_shape(layer, documents), h.q, h.k, h.v, a.attended, a.log_sum_exp);
  mlp_inputs(stream, w, a);
  mlp_output(stream, w, a, output);
}

void DecoderLayer::recompute(Stream& stream, const LayerWeights& w, const Documents& documents,
                             const LayerActivations& a) const {
  attention_inputs(stream, w, documents, a);
  mlp_inputs(stream, w, a);
}

void DecoderLayer::recompute_norms(Stream& stream, const LayerWeights& w, const LayerActivations& a) const {
  const auto eps = static_cast<float>(config_.rms_norm_eps);
  kernels_.norm.rmsnorm_forward(stream, a.input, w.input_norm, eps, a.normed_1, a.inv_rms_1);
  kernels_.norm.rmsnorm_forward(stream, a.middle, w.post_norm, eps, a.normed_2, a.inv_rms_2);
}

void DecoderLayer::mlp_backward(Stream& stream, const LayerWeights& w, const LayerActivations& a,
                                const LayerGradients& scratch, View d, const LayerWeights& dw, Write matrices) const {
  if (dw.down_bias) kernels_.linear.bias_backward(stream, d, dw.down_bias);
  // In place: swiglu_backward is the last to read gate_up and the gradient of its product, and leaves their gradients
  // and the product there.
  const View &d_activated = a.activated, &d_gate_up = a.gate_up;
  kernels_.linear.backward_input(stream, d, w.down, d_activated, Write::overwrite);
  kernels_.activation.swiglu_backward(stream, a.gate_up, d_activated, d_gate_up, a.activated);
  kernels_.linear.backward_weight(stream, d, a.activated, dw.down, matrices);
  if (dw.gate_up_bias) kernels_.linear.bias_backward(stream, d_gate_up, dw.gate_up_bias);
  kernels_.linear.backward_weight(stream, d_gate_up, a.normed_2, dw.gate_up, matrices);
  kernels_.linear.backward_input(stream, d_gate_up, w.gate_up, scratch.normed, Write::overwrite);
  kernels_.norm.rmsnorm_backward(stream, a.middle, w.post_norm, a.inv_rms_2, scratch.normed, d, Write::accumulate,
                                 dw.post_norm);
}

void DecoderLayer::qkv_backward(Stream& stream, const LayerWeights& w, const LayerActivations& a,
                                const LayerGradients& scratch, View d, const LayerWeights& dw, Write matrices) const {
  const int64_t q = config_.H * config_.D, k = config_.G * config_.D;
  if (config_.qk_norm) {
    const View dq = scratch.qkv.cols_from(0, q), dk = scratch.qkv.cols_from(q, k);
    kernels_.norm.rmsnorm_backward(stream, a.qkv.cols_from(0, q), w.q_norm, a.inv_rms_q, dq, dq, Write::overwrite,
                                   dw.q_norm);
    kernels_.norm.rmsnorm_backward(stream, a.qkv.cols_from(q, k), w.k_norm, a.inv_rms_k, dk, dk, Write::overwrite,
                                   dw.k_norm);
  }
  if (dw.qkv_bias) kernels_.linear.bias_backward(stream, scratch.qkv, dw.qkv_bias);
  kernels_.linear.backward_weight(stream, scratch.qkv, a.normed_1, dw.qkv, matrices);
  kernels_.linear.backward_input(stream, scratch.qkv, w.qkv, scratch.normed, Write::overwrite);
  kernels_.norm.rmsnorm_backward(stream, a.input, w.input_norm, a.inv_rms_1, scratch.normed, d, Write::accumulate,
                                 dw.input_norm);
}

void DecoderLayer::backward(Stream& stream, int64_t layer, const LayerWeights& w, const Documents& documents,
                            const LayerActivations& a, const LayerGradients& scratch, View d, const LayerWeights& dw,
                            Write matrices) const {
  const ModelConfig& c = config_;
  mlp_backward(stream, w, a, scratch, d, dw, matrices);

  if (dw.o_bias) kernels_.linear.bias_backward(stream, d, dw.o_bias);
  kernels_.linear.backward_weight(stream, d, a.attended, dw.o, matrices);
  kernels_.linear.backward_input(stream, d, w.o, scratch.attended, Write::overwrite);
  const Heads h = heads(a);
  const int64_t q = c.H * c.D, k = c.G * c.D;
  kernels_.attention.backward(stream, attention_shape(layer, documents), h.q, h.k, h.v, a.attended, a.log_sum_exp,
                              scratch.attended, scratch.qkv.cols_from(0, q), scratch.qkv.cols_from(q, k),
                              scratch.qkv.cols_from(q + k, k));
  kernels_.rotary.rope_backward(stream, documents.cos, documents.sin, c.D, scratch.qkv.cols_from(0, q + k));
  qkv_backward(stream, w, a, scratch, d, dw, matrices);
}

void DecoderLayer::decode(Stream& stream, int64_t layer, const LayerWeights& w, const Documents& tokens,
                          const LayerActivations& a, const std::vector<View>& k_cache, const std::vector<View>& v_cache,
                          const std::vector<int64_t>& length, View output) const {
  attention_inputs(stream, w, tokens, a);
  const Heads h = heads(a);
  for (size_t b = 0; b < k_cache.size(); ++b) {
    const auto row = static_cast<int64_t>(b);
    const int64_t at = length[b] - 1;  // length counts the new token
    kernels_.memory.copy(stream, h.k.rows_from(row, 1).data, k_cache[b].rows_from(at, 1).data,
                         h.k.cols * size_of(h.k.dtype));
    kernels_.memory.copy(stream, h.v.rows_from(row, 1).data, v_cache[b].rows_from(at, 1).data,
                         h.v.cols * size_of(h.v.dtype));
  }
  kernels_.attention.decode(stream, attention_shape(layer, tokens), h.q, k_cache.data(), v_cache.data(), length.data(),
                            a.attended);
  mlp_inputs(stream, w, a);
  mlp_output(stream, w, a, output);
}

}  // namespace tessera
