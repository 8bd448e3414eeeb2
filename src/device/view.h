#pragma once
#include <cstdint>
#include <stdexcept>

#include "device/dtype.h"

namespace tessera {

/// A non-owning view of a matrix in device memory: [rows, cols] elements of `dtype`, row r begins at element r *
/// row_stride.  A vector of n is [1, n].  A slice of columns keeps the row_stride of the whole.
template <typename Pointer>
struct BasicView {
  Pointer data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;

  BasicView() = default;
  BasicView(Pointer data_, DType dtype_, int64_t rows_, int64_t cols_)
      : data(data_), dtype(dtype_), rows(rows_), cols(cols_), row_stride(cols_) {}
  BasicView(Pointer data_, DType dtype_, int64_t rows_, int64_t cols_, int64_t row_stride_)
      : data(data_), dtype(dtype_), rows(rows_), cols(cols_), row_stride(row_stride_) {}
  /// A View converts to a ConstView.
  template <typename Other>
  BasicView(const BasicView<Other>& other)  // NOLINT(google-explicit-constructor)
      : data(other.data), dtype(other.dtype), rows(other.rows), cols(other.cols), row_stride(other.row_stride) {}

  int64_t size() const { return rows * cols; }
  int64_t bytes() const { return size() * size_of(dtype); }
  bool contiguous() const { return row_stride == cols || rows <= 1; }
  explicit operator bool() const { return data != nullptr; }

  /// The elements as T's; throws where the view holds another type.
  template <typename T>
  auto as() const {
    using Element = std::conditional_t<std::is_const_v<std::remove_pointer_t<Pointer>>, const T, T>;
    if (dtype_of<T>() != dtype) throw std::logic_error("a view was read as another type than it holds");
    return static_cast<Element*>(data);
  }

  BasicView rows_from(int64_t first, int64_t count) const {
    return {offset(first * row_stride), dtype, count, cols, row_stride};
  }
  BasicView cols_from(int64_t first, int64_t count) const { return {offset(first), dtype, rows, count, row_stride}; }

 private:
  Pointer offset(int64_t elements) const {
    using Byte = std::conditional_t<std::is_const_v<std::remove_pointer_t<Pointer>>, const char, char>;
    return static_cast<Byte*>(data) + elements * size_of(dtype);
  }
};

using View = BasicView<void*>;
using ConstView = BasicView<const void*>;

}  // namespace tessera
