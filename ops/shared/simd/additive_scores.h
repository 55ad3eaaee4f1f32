// Additive attention scores, sum of w tanh(k + q) over rows, for f32 and f64. Every function runs on the
// calling thread; T below is float or double by the dtype.
#pragma once

#include <cstddef>

#include "framework/tensor/dtype.h"

namespace fovea::simd {

/// `count` rows of n values of T. Steps are in elements, from one row to the next.
struct AdditiveRows {
  size_t count = 0, n = 0;
  size_t k_step = 0, score_step = 0;
};

struct AdditiveScoresKernels {
  /// scores[j] = sum over c of w[c] tanh(k[j, c] + q[c])
  void (*scores)(const AdditiveRows& rows, const void* k, const void* q, const void* w, void* scores);
  /// With t = tanh(k[j] + q) and h = g[j] w (1 - t^2): dk[j] = h, or dk[j] += h where `add`; dq += h;
  /// dw += g[j] t. All rows add to the one row dq and dw.
  void (*backward)(const AdditiveRows& rows, const void* k, const void* q, const void* w, const void* g,
                   void* dk, void* dq, void* dw, bool add);
};

/// For f32 and f64; nullptr otherwise.
const AdditiveScoresKernels* additive_scores_kernels(DType dtype);

}  // namespace fovea::simd
