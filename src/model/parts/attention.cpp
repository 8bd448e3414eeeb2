#include "model/parts/attention.h"

namespace tessera {

using Reader = SlotList::Reader;

Attention::Attention(const AttentionSpec& spec, const std::string& prefix, const UnitSpec& unit, SlotList& slots)
    : spec_(spec),
      qkv_(spec.qkv, prefix, unit, slots),
      o_(spec.o, prefix, unit, slots),
      projected_(slots.add(spec.qkv.rows(), Keep::unless_full, Reader::attention)),
      normed_(spec.q_norm ? slots.add(q_columns() + k_columns(), Keep::unless_full, Reader::attention) : Slot()),
      q_norm_(spec.q_norm, q_columns(), prefix, unit, slots),
      k_norm_(spec.k_norm, k_columns(), prefix, unit, slots),
      attended_(slots.add(q_columns(), Keep::always, Reader::attention)),
      log_sum_exp_(slots.add_floats(spec.H, Keep::always, Reader::attention)),
      d_attended_(slots.add(q_columns(), Keep::gradient, Reader::attention)),
      d_projected_(slots.add(spec.qkv.rows(), Keep::gradient)) {}

AttentionShape Attention::shape(const Documents& documents) const {
  return {spec_.H,      spec_.G,
          spec_.D,      spec_.window,
          spec_.scale,  documents.cu_seqlens,
          documents.N,  documents.cu_seqlens_on_device,
          spec_.softcap};
}

Attention::Heads Attention::heads(const LayerActivations& a) const {
  const int64_t q = q_columns(), k = k_columns();
  const View qk = has_norms() ? a[normed_] : a[projected_];
  return {qk.cols_from(0, q), qk.cols_from(q, k), a[projected_].cols_from(q + k, k)};
}

void Attention::inputs(const Pass& pass, const LayerActivations& a, ConstView x) const {
  const int64_t q = q_columns(), k = k_columns();
  qkv_.forward(pass, a, x, {}, a[projected_]);
  if (has_norms()) {
    q_norm_.forward(pass, a, a[projected_].cols_from(0, q), {}, a[normed_].cols_from(0, q));
    k_norm_.forward(pass, a, a[projected_].cols_from(q, k), {}, a[normed_].cols_from(q, k));
  }
  const View turned = has_norms() ? a[normed_] : a[projected_];
  if (const RotaryTable* const t = table(pass.documents))
    pass.kernels.rotary.rope_forward(pass.stream, t->cos, t->sin, {spec_.D, t->width}, turned.cols_from(0, q + k));
}

void Attention::attend(const Pass& pass, const LayerActivations& a) const {
  const Heads h = heads(a);
  pass.kernels.attention.forward(pass.stream, shape(pass.documents), h.q, h.k, h.v, a[attended_],
                                 a[log_sum_exp_].as<float>());
}

void Attention::attend_cached(const Pass& pass, const LayerActivations& a, const KeyValueCache& cache) const {
  const Heads h = heads(a);
  for (size_t b = 0; b < cache.k.size(); ++b) {
    const auto row = static_cast<int64_t>(b);
    const int64_t at = cache.length[b] - 1, bytes = h.k.cols * size_of(h.k.dtype);
    pass.kernels.memory.copy(pass.stream, h.k.rows_from(row, 1).data, cache.k[b].rows_from(at, 1).data, bytes);
    pass.kernels.memory.copy(pass.stream, h.v.rows_from(row, 1).data, cache.v[b].rows_from(at, 1).data, bytes);
  }
  pass.kernels.attention.decode(pass.stream, shape(pass.documents), h.q, cache.k.data(), cache.v.data(),
                                cache.length.data(), a[attended_]);
}

void Attention::output(const Pass& pass, const LayerActivations& a, ConstView added, View y) const {
  o_.forward(pass, a, a[attended_], added, y);
}

void Attention::backward(const BackwardPass& pass, const LayerActivations& a, ConstView x, ConstView dy, View dx,
                         Write mode) const {
  const int64_t q = q_columns(), k = k_columns();
  const View d = a[d_projected_], dq = d.cols_from(0, q), dk = d.cols_from(q, k), dv = d.cols_from(q + k, k);
  o_.backward_input(pass, a, dy, a[d_attended_], Write::overwrite);
  o_.backward_weight(pass, a, dy, a[attended_]);
  const Heads h = heads(a);
  pass.kernels.attention.backward(pass.stream, shape(pass.documents), h.q, h.k, h.v, a[attended_],
                                  a[log_sum_exp_].as<float>(), a[d_attended_], dq, dk, dv);
  if (const RotaryTable* const t = table(pass.documents))
    pass.kernels.rotary.rope_backward(pass.stream, t->cos, t->sin, {spec_.D, t->width}, d.cols_from(0, q + k));
  if (has_norms()) {
    q_norm_.backward(pass, a, a[projected_].cols_from(0, q), dq, dq, Write::overwrite);
    k_norm_.backward(pass, a, a[projected_].cols_from(q, k), dk, dk, Write::overwrite);
  }
  qkv_.backward_input(pass, a, d, dx, mode);
  qkv_.backward_weight(pass, a, d, x);
}

}  // namespace tessera
