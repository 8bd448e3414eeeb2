#pragma once
#include "device/view.h"

namespace tessera {

/// to = from, [rows, cols] of any compute types, rounded to nearest even where `to` is the narrower.  At once, on the
/// calling thread: a part of other kernels.
void convert(const ConstView& from, const View& to);

/// to += from in fp32, rounded once where `to` is bf16.
void convert_add(const ConstView& from, const View& to);

}  // namespace tessera
