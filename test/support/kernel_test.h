#pragma once
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "device/buffer.h"
#include "kernels/kernels.h"

/// What the tests of the kernels share: the devices, matrices with values to compare, and what "near" means. References
/// are plain loops in double over the values that the kernel was given, after their rounding to its type.
namespace tessera::test {

/// A device with its kernels and one stream to run them on.
struct Rig {
  std::string name;
  std::shared_ptr<Device> device;
  std::shared_ptr<Kernels> kernels;
  std::shared_ptr<Stream> stream;

  void upload(void* to, const void* from, int64_t bytes) {
    stream->synchronize();
    device->copy(from, to, bytes);
  }
  void download(void* to, const void* from, int64_t bytes) {
    stream->synchronize();
    device->copy(from, to, bytes);
  }
};

/// Every implementation of the kernels that a test program is about; each program has its own.
std::vector<Rig> every_rig();

/// claim(rig) on every one of them.
template <typename Claim>
void on_every_device(const Claim& claim) {
  for (Rig& rig : every_rig()) {
    INFO("on " << rig.name);
    claim(rig);
  }
}

using Values = std::vector<double>;

/// Normally distributed; the same seed gives the same values.
inline Values random_values(int64_t n, uint64_t seed, double scale = 1) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal(0, scale);
  Values values(static_cast<size_t>(n));
  for (double& value : values) value = normal(generator);
  return values;
}

/// A matrix on a rig's device.  With `slack` columns beside it its view is a slice, and what lies in the slack must
/// stay as it is (intact()).
class Matrix {
 public:
  Matrix(Rig& rig, DType dtype, int64_t rows, int64_t cols, int64_t slack = 0)
      : rig_(&rig), whole_(*rig.device, dtype, rows, cols + slack, "a test's matrix"), cols_(cols) {
    const std::vector<unsigned char> marks(static_cast<size_t>(whole_.bytes()), slack_mark);
    rig.upload(whole_.data(), marks.data(), whole_.bytes());
  }
  Matrix(Rig& rig, DType dtype, int64_t rows, int64_t cols, const Values& values, int64_t slack = 0)
      : Matrix(rig, dtype, rows, cols, slack) {
    set(values);
  }
  Matrix(Rig& rig, DType dtype, int64_t rows, int64_t cols, std::initializer_list<double> values)
      : Matrix(rig, dtype, rows, cols, Values(values)) {}
  static Matrix random(Rig& rig, DType dtype, int64_t rows, int64_t cols, uint64_t seed, int64_t slack = 0) {
    return {rig, dtype, rows, cols, random_values(rows * cols, seed), slack};
  }
  static Matrix zeros(Rig& rig, DType dtype, int64_t rows, int64_t cols, int64_t slack = 0) {
    return {rig, dtype, rows, cols, Values(static_cast<size_t>(rows * cols)), slack};
  }

  View view() const { return whole_.view().cols_from(0, cols_); }
  operator View() const { return view(); }              // NOLINT(google-explicit-constructor)
  operator ConstView() const { return view(); }         // NOLINT(google-explicit-constructor)
  float* floats() const { return view().as<float>(); }  ///< of an fp32 matrix without slack

  void set(const Values& values) {
    std::vector<unsigned char> bytes = download();
    for_each([&](size_t i, int64_t element) { write(bytes, element, values.at(i)); });
    rig_->upload(whole_.data(), bytes.data(), whole_.bytes());
  }
  /// The elements row by row, without the slack; waits for the rig's stream.
  Values values() const {
    const std::vector<unsigned char> bytes = download();
    Values values(static_cast<size_t>(view().size()));
    for_each([&](size_t i, int64_t element) { values[i] = read(bytes, element); });
    return values;
  }
  /// The same with every bit, for comparisons that allow no difference.
  std::vector<uint32_t> bits() const {
    const std::vector<unsigned char> bytes = download();
    std::vector<uint32_t> bits(static_cast<size_t>(view().size()));
    const int64_t width = size_of(dtype());
    for_each([&](size_t i, int64_t element) {
      std::memcpy(&bits[i], &bytes[static_cast<size_t>(element * width)], static_cast<size_t>(width));
    });
    return bits;
  }
  /// Nothing was written into the slack.
  bool intact() const {
    const std::vector<unsigned char> bytes = download();
    const int64_t width = size_of(dtype()), pitch = whole_.view().cols;
    for (int64_t row = 0; row < whole_.view().rows; ++row)
      for (int64_t byte = (row * pitch + cols_) * width; byte < (row + 1) * pitch * width; ++byte)
        if (bytes[static_cast<size_t>(byte)] != slack_mark) return false;
    return true;
  }

 private:
  static constexpr unsigned char slack_mark = 0xff;  // NaN in both types, so that reading the slack shows too

  DType dtype() const { return whole_.view().dtype; }
  std::vector<unsigned char> download() const {
    std::vector<unsigned char> bytes(static_cast<size_t>(whole_.bytes()));
    rig_->download(bytes.data(), whole_.data(), whole_.bytes());
    return bytes;
  }
  template <typename F>
  void for_each(const F& f) const {
    const View v = view();
    size_t i = 0;
    for (int64_t row = 0; row < v.rows; ++row)
      for (int64_t col = 0; col < v.cols; ++col) f(i++, row * v.row_stride + col);
  }
  double read(const std::vector<unsigned char>& bytes, int64_t element) const {
    return with_compute_type(dtype(), [&](auto value) {
      std::memcpy(&value, &bytes[static_cast<size_t>(element) * sizeof(value)], sizeof(value));
      return static_cast<double>(static_cast<float>(value));
    });
  }
  void write(std::vector<unsigned char>& bytes, int64_t element, double value) const {
    with_compute_type(dtype(), [&](auto type) {
      const auto rounded = static_cast<decltype(type)>(static_cast<float>(value));
      std::memcpy(&bytes[static_cast<size_t>(element) * sizeof(rounded)], &rounded, sizeof(rounded));
    });
  }

  Rig* rig_;
  Buffer whole_;
  int64_t cols_;
};

/// Plain memory of a device: ids, positions, statistics, sums.
template <typename T>
class Array {
 public:
  Array(Rig& rig, const std::vector<T>& values)
      : rig_(&rig),
        count_(values.size()),
        memory_(*rig.device, static_cast<int64_t>(count_ * sizeof(T)), "a test's array") {
    rig.upload(memory_.data(), values.data(), memory_.bytes());
  }
  Array(Rig& rig, std::initializer_list<T> values) : Array(rig, std::vector<T>(values)) {}
  Array(Rig& rig, int64_t count) : Array(rig, std::vector<T>(static_cast<size_t>(count))) {}

  T* data() const { return memory_.as<T>(); }
  /// Waits for the rig's stream.
  std::vector<T> values() const {
    std::vector<T> values(count_);
    rig_->download(values.data(), memory_.data(), memory_.bytes());
    return values;
  }

 private:
  Rig* rig_;
  size_t count_;
  Buffer memory_;
};

/// How far one rounding to the type, and fp32 arithmetic before it, may lead away.
inline double tolerance(DType dtype) { return dtype == DType::bf16 ? 1.0 / 256 : 1e-5; }
template <typename T>
double tolerance() {
  return tolerance(dtype_of<T>());
}

/// Matches values that differ from `expected` by at most `tolerance` of their own size plus the rms of them all.
class Near : public Catch::MatcherBase<Values> {
 public:
  Near(Values expected, double tolerance) : expected_(std::move(expected)), tolerance_(tolerance) {
    double sum = 0;
    for (const double e : expected_) sum += e * e;
    rms_ = expected_.empty() ? 0 : std::sqrt(sum / static_cast<double>(expected_.size()));
  }
  bool match(const Values& actual) const override {
    last_ = actual;
    return actual.size() == expected_.size() && first_difference(actual) == expected_.size();
  }
  std::string describe() const override {
    if (last_.size() != expected_.size())
      return "has " + std::to_string(expected_.size()) + " values, not " + std::to_string(last_.size());
    const size_t i = first_difference(last_);
    if (i == expected_.size()) return "is near what was expected";
    return "is near what was expected; the first that is not: [" + std::to_string(i) + "] is " +
           Catch::Detail::stringify(last_[i]) + ", not " + Catch::Detail::stringify(expected_[i]);
  }

 private:
  size_t first_difference(const Values& actual) const {
    size_t i = 0;
    while (i < actual.size() && std::abs(actual[i] - expected_[i]) <= tolerance_ * (std::abs(expected_[i]) + rms_)) ++i;
    return i;
  }

  Values expected_;
  double tolerance_;
  double rms_ = 0;
  mutable Values last_;
};

inline Near near(Values expected, double tolerance) { return {std::move(expected), tolerance}; }

/// dL/dx of loss(x) by central differences in double: right to about nine digits for values around 1.
inline Values gradient_by_differences(const std::function<double(const Values&)>& loss, Values x) {
  constexpr double step = 1e-5;
  Values gradient(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double at = x[i];
    x[i] = at + step;
    const double above = loss(x);
    x[i] = at - step;
    gradient[i] = (above - loss(x)) / (2 * step);
    x[i] = at;
  }
  return gradient;
}

inline double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a.at(i) * b.at(i);
  return sum;
}

/// |found - expected| / |expected|.
inline double distance(const Values& found, const Values& expected) {
  double difference = 0;
  for (size_t i = 0; i < found.size(); ++i) difference += std::pow(found[i] - expected[i], 2);
  return std::sqrt(difference / std::max(dot(expected, expected), 1e-30));
}

inline Values operator+(Values a, const Values& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b.at(i);
  return a;
}

}  // namespace tessera::test
