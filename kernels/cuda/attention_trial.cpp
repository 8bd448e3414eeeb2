#include "kernels/cuda/attention_trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "device/cuda/check.h"
#include "device/cuda/cuda_device.h"
#include "kernels/cuda/own_attention.h"

namespace tessera {
namespace {

using D = AttentionDescription;

/// Numbers between -1 and 1 without a pattern that tiles could share: the table's length is prime.
class Noise {
 public:
  explicit Noise(uint32_t seed) : table_(length) {
    uint32_t state = seed;
    for (float& value : table_) {
      state = state * 1664525u + 1013904223u;  // Numerical Recipes' generator
      value = static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
    }
  }
  float operator()() {
    const float value = table_[at_];
    at_ = at_ + 1 == length ? 0 : at_ + 1;
    return value;
  }

 private:
  static constexpr size_t length = 65'537;
  std::vector<float> table_;
  size_t at_ = 0;
};

void fill_with_nan(Stream& stream, const View& view) {
  cuda::check(cudaMemsetAsync(view.data, 0xff, static_cast<size_t>(view.bytes()), cuda_stream(stream)),
              "filling memory with NaN");
}

/// [rows, cols] on the host, in fp32.
std::vector<float> read(Device& device, const ConstView& view) {
  std::vector<float> values(static_cast<size_t>(view.rows * view.cols));
  const int64_t elements = view.rows == 0 ? 0 : (view.rows - 1) * view.row_stride + view.cols;
  std::vector<char> raw(static_cast<size_t>(elements * size_of(view.dtype)));
  device.copy(view.data, raw.data(), static_cast<int64_t>(raw.size()));
  with_compute_type(view.dtype, [&](auto type) {
    const auto* from = reinterpret_cast<const decltype(type)*>(raw.data());
    for (int64_t r = 0; r < view.rows; ++r)
      for (int64_t c = 0; c < view.cols; ++c)
        values[static_cast<size_t>(r * view.cols + c)] = static_cast<float>(from[r * view.row_stride + c]);
  });
  return values;
}

double squares(const float* begin, const float* end) {
  return std::accumulate(begin, end, 0.0, [](double sum, float x) { return sum + static_cast<double>(x) * x; });
}

double squared_distance(const float* x, const float* y, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += (static_cast<double>(x[i]) - y[i]) * (static_cast<double>(x[i]) - y[i]);
  return sum;
}

}  // namespace

std::string in_words(const AttentionForm& form, AttentionWay way, bool deterministic) {
  const char* const kind = deterministic ? "deterministic" : "not deterministic";
  const std::string pass =
      way == AttentionWay::forward
          ? "the forward pass"
          : fmt::format("the backward pass of {} ({})",
                        way == AttentionWay::backward_packed ? "packed documents" : "documents copied to one length",
                        kind);
  return fmt::format("{}, {} query and {} key heads of {}{}", pass, form.H, form.G, form.D,
                     form.window > 0 ? fmt::format(", window {}", form.window) : "");
}

std::string in_words(const AttentionBatch& batch) {
  return fmt::format("{} documents of at most {} tokens{}{}", batch.documents.size(), batch.documents.front(),
                     batch.scores == AttentionBatch::Scores::deep ? ", deep scores" : "",
                     batch.nan_behind ? ", NaN behind" : "");
}

AttentionTrial::AttentionTrial(Stream& stream, const AttentionForm& form, const AttentionBatch& batch)
    : stream_(stream), tokens_(0), nan_behind_(batch.nan_behind), cu_seqlens_(1, 0) {
  Device& device = stream.device();
  for (const int64_t length : batch.documents) cu_seqlens_.push_back(narrow<int32_t>(tokens_ += length));
  const int64_t rows = tokens_ + attention_spare_rows(DeviceKind::cuda), width = (form.H + 2 * form.G) * form.D;
  const auto buffer = [&](DType dtype, int64_t cols) { return Buffer(device, dtype, rows, cols, "attention's check"); };
  cu_seqlens_on_device_ = Buffer(device, DType::i32, 1, narrow<int64_t>(cu_seqlens_.size()), "attention's check");
  device.copy(cu_seqlens_.data(), cu_seqlens_on_device_.data(), cu_seqlens_on_device_.bytes());
  qkv_ = buffer(DType::bf16, width);
  dout_ = buffer(DType::bf16, form.H * form.D);
  for (Answers* answers : {&own_, &found_})
    *answers = {buffer(DType::bf16, form.H * form.D), buffer(DType::f32, form.H), buffer(DType::bf16, width)};
  shape_ = {.H = form.H,
            .G = form.G,
            .D = form.D,
            .window = form.window,
            .scale = 1 / std::sqrt(static_cast<float>(form.D)),
            .cu_seqlens = cu_seqlens_.data(),
            .N = narrow<int64_t>(batch.documents.size()),
            .cu_seqlens_on_device = cu_seqlens_on_device_.as<int32_t>()};
  fill_inputs(batch);
  empty_outputs(own_);
  run_own_kernels();
}

View AttentionTrial::q(const Buffer& qkv) const { return qkv.view(tokens_).cols_from(0, shape_.H * shape_.D); }
View AttentionTrial::k(const Buffer& qkv) const {
  return qkv.view(tokens_).cols_from(shape_.H * shape_.D, shape_.G * shape_.D);
}
View AttentionTrial::v(const Buffer& qkv) const {
  return qkv.view(tokens_).cols_from((shape_.H + shape_.G) * shape_.D, shape_.G * shape_.D);
}

void AttentionTrial::fill_inputs(const AttentionBatch& batch) {
  const bool deep = batch.scores == AttentionBatch::Scores::deep;
  const float apart = deep ? std::sqrt(120 / (static_cast<float>(shape_.D) * shape_.scale)) : 0.0f;
  const float spread = deep ? 0.25f : 1.0f;
  Noise noise(7);
  const auto fill = [&](const Buffer& buffer, const auto& mean_of_column) {
    const int64_t width = buffer.view().cols;
    // Its spare rows too; 0xffff is a NaN.
    std::vector<bf16> values(static_cast<size_t>(buffer.bytes() / size_of(DType::bf16)));
    for (bf16& value : values) value.bits = nan_behind_ ? 0xffff : 0;
    for (int64_t i = 0; i < tokens_ * width; ++i)
      values[static_cast<size_t>(i)] = bf16(mean_of_column(i % width) + spread * noise());
    stream_.device().copy(values.data(), buffer.data(), buffer.bytes());
  };
  const int64_t queries = shape_.H * shape_.D, keys = shape_.G * shape_.D;
  fill(qkv_, [&](int64_t column) { return column < queries ? -apart : column < queries + keys ? apart : 0.0f; });
  fill(dout_, [](int64_t) { return 0.0f; });
}

void AttentionTrial::empty_outputs(const Answers& answers) const {
  for (const Buffer* buffer : {&answers.out, &answers.log_sum_exp, &answers.dqkv}) {
    buffer->set_zero();
    fill_with_nan(stream_, nan_behind_ ? buffer->view() : buffer->view(tokens_));
  }
}

void AttentionTrial::run_own_kernels() {
  const cudaStream_t on = cuda_stream(stream_);
  const Buffer scratch(stream_.device(), cuda::attention_backward_scratch_bytes(tokens_, shape_.H),
                       "attention's check");
  cuda::attention_forward(on, shape_, q(qkv_), k(qkv_), v(qkv_), own_.out.view(tokens_), own_.log_sum_exp.as<float>());
  cuda::attention_backward(on, shape_, q(qkv_), k(qkv_), v(qkv_), own_.out.view(tokens_), own_.log_sum_exp.as<float>(),
                           dout_.view(tokens_), q(own_.dqkv), k(own_.dqkv), v(own_.dqkv), scratch.data());
  stream_.synchronize();
}

AttentionTensors AttentionTrial::tensors(AttentionWay way) {
  empty_outputs(found_);
  const Answers& forward = way == AttentionWay::forward ? found_ : own_;
  return {q(qkv_),
          k(qkv_),
          v(qkv_),
          forward.out.view(tokens_),
          forward.log_sum_exp.view(tokens_),
          dout_.view(tokens_),
          q(found_.dqkv),
          k(found_.dqkv),
          v(found_.dqkv)};
}

std::string AttentionTrial::difference(AttentionWay way) {
  stream_.synchronize();
  struct Pair {
    const char* name;
    ConstView found, right;
  };
  std::vector<Pair> pairs;
  if (way == AttentionWay::forward)
    pairs = {{"the output", found_.out.view(tokens_), own_.out.view(tokens_)},
             {"log-sum-exp", found_.log_sum_exp.view(tokens_), own_.log_sum_exp.view(tokens_)}};
  else
    pairs = {{"dq", q(found_.dqkv), q(own_.dqkv)},
             {"dk", k(found_.dqkv), k(own_.dqkv)},
             {"dv", v(found_.dqkv), v(own_.dqkv)}};
  for (const Pair& pair : pairs)
    if (std::string text = difference(pair.name, pair.found, pair.right); !text.empty()) return text;
  return {};
}

/// Tile by tile, so that a few wrong rows count; a tile whose right numbers are small is held to those of the tensor.
std::string AttentionTrial::difference(const char* name, const ConstView& found, const ConstView& right) const {
  constexpr int64_t tile = 16;
  const std::vector<float> x = read(stream_.device(), found), y = read(stream_.device(), right);
  const double typical = squares(y.data(), y.data() + y.size()) / static_cast<double>(std::max<size_t>(1, y.size()));
  for (int64_t n = 0; n < shape_.N; ++n) {
    const int64_t begin = shape_.cu_seqlens[n], length = shape_.cu_seqlens[n + 1] - begin;
    for (int64_t row = 0; row < length; row += tile) {
      const int64_t rows = std::min(tile, length - row);
      const auto first = static_cast<size_t>((begin + row) * right.cols),
                 count = static_cast<size_t>(rows * right.cols);
      const double size = squares(&y[first], &y[first] + count) + typical * static_cast<double>(count);
      const double error = std::sqrt(squared_distance(&x[first], &y[first], count) / size);
      if (error <= tolerance) continue;  // false for a NaN
      return fmt::format("{} of a document of {} tokens, rows {} to {}: {}", name, length, row, row + rows - 1,
                         std::isnan(error) ? std::string("NaN") : fmt::format("off by {:.0f} %", 100 * error));
    }
  }
  return {};
}

// ---- the batches ----

namespace {

/// Longest first, as a batch has them: those around tiles that fit, and one as long as may be, up to 4096, or beyond a
/// window's end.
std::vector<int64_t> nasty_documents(const AttentionForm& form, int64_t longest, int64_t tokens) {
  std::vector<int64_t> lengths;
  int64_t rest = tokens;
  for (const int64_t length : {1, 63, 64, 65, 127, 192})
    if (length <= std::min(longest, rest)) {
      lengths.push_back(length);
      rest -= length;
    }
  const int64_t most = std::max<int64_t>(4096, form.window > 0 ? form.window + 192 : 0);
  if (const int64_t length = std::min({longest, rest, most}); length > 0) lengths.push_back(length);
  std::sort(lengths.rbegin(), lengths.rend());
  return lengths;
}

}  // namespace

std::vector<AttentionBatch> short_attention_batches(const AttentionForm& form, int64_t longest, int64_t tokens) {
  const std::vector<int64_t> documents = nasty_documents(form, longest, tokens);
  return {{documents, AttentionBatch::Scores::ordinary}, {documents, AttentionBatch::Scores::deep}};
}

std::vector<AttentionBatch> all_attention_batches(const AttentionForm& form, int64_t longest, int64_t tokens) {
  std::vector<AttentionBatch> batches = short_attention_batches(form, longest, tokens);
  for (const AttentionBatch::Scores scores : {AttentionBatch::Scores::ordinary, AttentionBatch::Scores::deep}) {
    batches.push_back({{129}, scores, /*nan_behind=*/true});
    batches.push_back({{192, 65}, scores, /*nan_behind=*/true});
    for (int64_t count = 1; count <= 16; ++count)
      batches.push_back({std::vector<int64_t>(static_cast<size_t>(count), 65), scores});
  }
  const auto fits = [&](const AttentionBatch& batch) {
    return batch.documents.front() <= longest &&
           std::accumulate(batch.documents.begin(), batch.documents.end(), int64_t{0}) <= tokens;
  };
  batches.erase(std::remove_if(batches.begin(), batches.end(), [&](const auto& b) { return !fits(b); }), batches.end());
  return batches;
}

}  // namespace tessera
