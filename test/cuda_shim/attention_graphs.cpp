#include "cuda_shim/attention_graphs.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace tessera::test {
namespace {

using D = AttentionDescription;

/// A tensor's elements as [document, head, position, column], each document with `longest` positions.
class Dense {
 public:
  Dense(const D& d, D::Role role) : d_(d), tensor_(d[role]), role_(role) {
    values_.resize(static_cast<size_t>(d.bucket.documents * tensor_.dim[1] * d.bucket.longest * tensor_.dim[3]));
  }
  double* row(int64_t b, int64_t head, int64_t position) {
    return &values_[static_cast<size_t>(((b * tensor_.dim[1] + head) * d_.bucket.longest + position) * tensor_.dim[3])];
  }

  /// What is behind a padded document's end has to be zero: cuDNN multiplies it by zeros, and NaNs would stay.
  void read(const AttentionPointers& from, Fault fault) {
    dense_ = fault == Fault::dense_statistics && role_ == D::statistics && !d_.padded;
    for_each(from, d_.padded, [&](int64_t element, double& value) {
      if (role_ == D::statistics)
        value = static_cast<double>(static_cast<const float*>(from.tensors[role_])[element]);
      else
        value = static_cast<double>(static_cast<float>(static_cast<const bf16*>(from.tensors[role_])[element]));
    });
    for (int64_t b = 0; b < d_.bucket.documents; ++b)
      for (int64_t h = 0; h < tensor_.dim[1]; ++h)
        for (int64_t i = from.lengths[b]; i < d_.bucket.longest; ++i)
          if (std::any_of(row(b, h, i), row(b, h, i) + tensor_.dim[3], [](double value) { return value != 0; }))
            throw std::logic_error("a padded document is not followed by zeros");
  }
  /// Behind a padded document's end too, where cuDNN may write.
  void write(const AttentionPointers& to) {
    for_each(to, d_.padded, [&](int64_t element, double value) {
      if (role_ == D::statistics)
        static_cast<float*>(to.tensors[role_])[element] = static_cast<float>(value);
      else
        static_cast<bf16*>(to.tensors[role_])[element] = static_cast<bf16>(static_cast<float>(value));
    });
  }

 private:
  /// f(index in memory, element) for the positions of each document, or all that it has room for.
  template <typename F>
  void for_each(const AttentionPointers& on, bool whole, const F& f) {
    const int64_t pitch = attention_offsets_pitch(d_.bucket.documents);
    for (int64_t b = 0; b < d_.bucket.documents; ++b) {
      const int64_t* const offsets = on.offsets + tensor_.offsets * pitch;
      const int64_t begin = d_.padded ? b * tensor_.stride[0]
                            : dense_  ? b * d_.bucket.longest * tensor_.stride[2] % std::max<int64_t>(1, offsets[b])
                                      : offsets[b];
      for (int64_t h = 0; h < tensor_.dim[1]; ++h)
        for (int64_t i = 0; i < (whole ? d_.bucket.longest : on.lengths[b]); ++i)
          for (int64_t c = 0; c < tensor_.dim[3]; ++c)
            f(begin + h * tensor_.stride[1] + i * tensor_.stride[2] + c * tensor_.stride[3], row(b, h, i)[c]);
    }
  }

  const D& d_;
  const AttentionTensor& tensor_;
  D::Role role_;
  bool dense_ = false;
  std::vector<double> values_;
};

/// One execution.
class Execution {
 public:
  Execution(const D& d, const AttentionPointers& on, Fault fault) : d_(d), on_(on), fault_(fault) {
    for (int64_t b = 0; b < d.bucket.documents; ++b)
      if (on.lengths[b] < 0 || on.lengths[b] > d.bucket.longest) throw std::logic_error("a document's length");
    for (int64_t role = 0; role < d.roles_used(); ++role) {
      tensors_.emplace_back(d, static_cast<D::Role>(role));
      if (role < (d.backward ? D::dq : D::out)) tensors_.back().read(on, fault);
    }
  }

  void forward() {
    std::vector<double> p(static_cast<size_t>(d_.bucket.longest));
    for_each_query([&](int64_t b, int64_t h, int64_t i) {
      double sum = 0;
      for_keys(b, i, [&](int64_t j) { sum += p[static_cast<size_t>(j)] = std::exp(score(b, h, i, j)); });
      *row(D::statistics, b, h, i) = std::log(sum);
      for_keys(b, i, [&](int64_t j) {
        add(row(D::out, b, h, i), p[static_cast<size_t>(j)] / sum, row(D::v, b, key_head(h), j));
      });
    });
    if (fault_ == Fault::wrong_output)
      for_each_query([&](int64_t b, int64_t h, int64_t i) {
        if (i >= 64 && i < 72) *row(D::out, b, h, i) += 1;
      });
    spoil(D::out);
    for (const D::Role role : {D::out, D::statistics}) tensors_[role].write(on_);
  }

  /// Dao 2023 (FlashAttention-2), algorithm 2, without blocks.
  void backward() {
    for_each_query([&](int64_t b, int64_t h, int64_t i) {
      const double delta = dot(row(D::dout, b, h, i), row(D::out, b, h, i));
      for_keys(b, i, [&](int64_t j) {
        const int64_t g = key_head(h);
        const double p = std::exp(score(b, h, i, j) - *row(D::statistics, b, h, i)),
                     dp = dot(row(D::dout, b, h, i), row(D::v, b, g, j)),
                     ds = static_cast<double>(d_.scale) * p * (dp - delta);
        add(row(D::dq, b, h, i), ds, row(D::k, b, g, j));
        if (fault_ == Fault::few_key_heads && d_[D::k].dim[1] < 8 && h % 2 == 1) return;
        add(row(D::dk, b, g, j), ds, row(D::q, b, h, i));
        add(row(D::dv, b, g, j), p, row(D::dout, b, h, i));
      });
    });
    spoil_gradients();
    for (const D::Role role : {D::dq, D::dk, D::dv}) tensors_[role].write(on_);
  }

 private:
  static constexpr double nan = std::numeric_limits<double>::quiet_NaN();

  void spoil_gradients() {
    if (fault_ == Fault::nan_of_packed_gradients && !d_.padded) *row(D::dq, 0, 0, 0) = nan;
    for (int64_t b = 0; b < d_.bucket.documents; ++b) {
      if (on_.lengths[b] == 0) continue;
      const double statistics = *row(D::statistics, b, 0, 0);
      if (fault_ == Fault::nan_dq_of_deep_scores && on_.lengths[b] % 128 == 64 && statistics < -88)
        *row(D::dq, b, 0, 0) = nan;
      if (fault_ == Fault::nan_of_one_query && on_.lengths[b] == 1 && statistics < 0)
        *row(D::dk, b, 0, 0) = *row(D::dv, b, 0, 0) = nan;
    }
    spoil(D::dq);
  }
  /// Faults of either pass.
  void spoil(D::Role output) {
    if (fault_ == Fault::reads_workspace) *row(output, 0, 0, 0) += 0.0 * *static_cast<const float*>(on_.workspace);
    if (fault_ == Fault::nan_of_empty_places && on_.lengths[d_.bucket.documents - 1] == 0) *row(output, 0, 0, 0) = nan;
    if (fault_ != Fault::reads_behind || d_.padded) return;
    constexpr int64_t tile = 128;
    const AttentionTensor& v = d_[D::v];
    for (int64_t b = 0; b < d_.bucket.documents; ++b)
      for (int64_t i = on_.lengths[b]; i % tile != 0; ++i) {
        const int64_t begin = on_.offsets[v.offsets * attention_offsets_pitch(d_.bucket.documents) + b];
        const bf16 value = static_cast<const bf16*>(on_.tensors[D::v])[begin + i * v.stride[2]];
        *row(output, b, 0, 0) += 0.0 * static_cast<double>(static_cast<float>(value));
      }
  }
  double* row(D::Role role, int64_t b, int64_t head, int64_t position) { return tensors_[role].row(b, head, position); }
  int64_t key_head(int64_t h) const { return h / (d_[D::q].dim[1] / d_[D::k].dim[1]); }
  double dot(const double* x, const double* y) const {
    double sum = 0;
    for (int64_t c = 0; c < d_[D::q].dim[3]; ++c) sum += x[c] * y[c];
    return sum;
  }
  void add(double* to, double factor, const double* x) const {
    for (int64_t c = 0; c < d_[D::q].dim[3]; ++c) to[c] += factor * x[c];
  }
  double score(int64_t b, int64_t h, int64_t i, int64_t j) {
    return static_cast<double>(d_.scale) * dot(row(D::q, b, h, i), row(D::k, b, key_head(h), j));
  }
  template <typename F>
  void for_keys(int64_t b, int64_t i, const F& f) const {
    for (int64_t j = 0; j < on_.lengths[b]; ++j)
      if (j <= i + d_.right_bound && (d_.left_bound == 0 || j > i - d_.left_bound || fault_ == Fault::no_window)) f(j);
  }
  template <typename F>
  void for_each_query(const F& f) const {
    for (int64_t b = 0; b < d_.bucket.documents; ++b)
      for (int64_t h = 0; h < d_[D::q].dim[1]; ++h)
        for (int64_t i = 0; i < on_.lengths[b]; ++i) f(b, h, i);
  }

  const D& d_;
  const AttentionPointers& on_;
  Fault fault_;
  std::vector<Dense> tensors_;
};

class PlainGraph final : public AttentionGraph {
 public:
  PlainGraph(const D& description, std::string refusal, Fault fault)
      : d_(description), refusal_(std::move(refusal)), fault_(fault) {}
  const std::string& refusal() const override { return refusal_; }
  int64_t workspace_bytes() const override {
    constexpr int64_t some = 4096;
    return some + (d_.backward ? attention_score_bytes(d_.bucket, d_[D::q].dim[1]) : 0);
  }
  void execute(Stream& stream, const AttentionPointers& pointers) override {
    stream.enqueue([this, pointers] {
      Execution execution(d_, pointers, fault_);
      d_.backward ? execution.backward() : execution.forward();
      std::memset(pointers.workspace, 0xff, static_cast<size_t>(workspace_bytes()));
    });
  }

 private:
  D d_;
  std::string refusal_;
  Fault fault_;
};

}  // namespace

std::unique_ptr<AttentionGraph> PlainGraphs::build(const AttentionDescription& description) {
  if (built_ != nullptr) built_->push_back(description);
  return std::make_unique<PlainGraph>(description, refuses_ ? refuses_(description) : std::string(), fault_);
}

}  // namespace tessera::test
