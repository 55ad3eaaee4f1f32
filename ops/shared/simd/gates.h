// The pointwise part of recurrent cells. Every function runs on the calling thread over rows; half types
// compute in float.
#pragma once

#include <cstddef>

#include "framework/tensor/dtype.h"

namespace fovea::simd {

/// Rows of gates hold their parts one behind the other, n values each; states are rows of n.
struct GateKernels {
  /// a, b [rows, 3 n] in the order r, z, n: r = s(a_r + b_r), z = s(a_z + b_z), c = tanh(a_n + r b_n);
  /// y = c + z (h - c), s the logistic function.
  void (*gru)(const void* a, const void* b, const void* h, void* y, size_t rows, size_t n);
  /// da, db and dh from g = dL/dy.
  void (*gru_backward)(const void* a, const void* b, const void* h, const void* g, void* da, void* db,
                       void* dh, size_t rows, size_t n);
  /// gates [rows, 4 n] in the order i, f, g, o: c_out = s(f) c + s(i) tanh(g); h_out = s(o) tanh(c_out).
  void (*lstm)(const void* gates, const void* c, void* h_out, void* c_out, size_t rows, size_t n);
  /// dgates and dc from dL/dh_out and dL/dc_out.
  void (*lstm_backward)(const void* gates, const void* c, const void* dh_out, const void* dc_out,
                        void* dgates, void* dc, size_t rows, size_t n);
};

/// For f32, f64, f16 and bf16; nullptr otherwise.
const GateKernels* gate_kernels(DType dtype);

}  // namespace fovea::simd
