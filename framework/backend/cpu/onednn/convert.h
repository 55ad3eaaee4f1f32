// Rows of floating-point numbers between dtypes.
#pragma once

#include <cstdint>

#include "framework/tensor/dtype.h"

namespace fovea::onednn {

/// to[i] = from[i * stride] for i in [0, n), where `from` is of dtype t.
void load_row(DType t, const void* from, int64_t stride, float* to, int64_t n);
void load_row(DType t, const void* from, int64_t stride, double* to, int64_t n);
/// to[i] = from[i] rounded to nearest even, for i in [0, n), where `to` is of dtype t.
void store_row(DType t, const float* from, void* to, int64_t n);
void store_row(DType t, const double* from, void* to, int64_t n);

/// The address `elements` elements of dtype t behind p.
inline const void* element(const void* p, DType t, int64_t elements) {
  return static_cast<const char*>(p) + elements * size_of(t);
}
inline void* element(void* p, DType t, int64_t elements) {
  return static_cast<char*>(p) + elements * size_of(t);
}

}  // namespace fovea::onednn
