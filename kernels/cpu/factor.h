#pragma once
#include "device/view.h"

namespace tessera {

/// A factor of a product: the view, or its transpose.
struct Factor {
  ConstView view;
  bool transposed = false;

  int64_t rows() const { return transposed ? view.cols : view.rows; }
  int64_t cols() const { return transposed ? view.rows : view.cols; }
  Factor rows_from(int64_t first, int64_t count) const {
    return {transposed ? view.cols_from(first, count) : view.rows_from(first, count), transposed};
  }
  Factor cols_from(int64_t first, int64_t count) const {
    return {transposed ? view.rows_from(first, count) : view.cols_from(first, count), transposed};
  }
};
inline Factor transpose(ConstView view) { return {view, true}; }

}  // namespace tessera
