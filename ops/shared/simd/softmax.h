// Softmax and cross-entropy over rows. Every function runs on the calling thread over `rows` contiguous rows
// of n values; a row's result depends on that row alone. Half types compute in float. y may be x, dx may be y
// or g.
#pragma once

#include <cstddef>
#include <cstdint>

#include "framework/tensor/dtype.h"

namespace fovea::simd {

/// Softmax cross-entropy with integer labels, as PyTorch's cross_entropy:
///   loss = (1 - smoothing) (-log p[label]) + smoothing / n * sum_j (-log p[j]),  p = softmax(logits)
struct CrossEntropyArgs {
  const void* labels = nullptr;
  DType label_dtype = DType::i64;  ///< i32 or i64
  int64_t ignore_index = -100;     ///< rows with this label have loss 0 and gradient 0
  double smoothing = 0;
};

/// The functions for one dtype. "Row values" (lse, loss, weight) are float, or double when the dtype is f64.
struct SoftmaxKernels {
  /// y = exp(x - max) / sum exp(x - max); rows of -inf alone, or with NaN or +inf, give NaN.
  void (*softmax)(const void* x, void* y, size_t rows, size_t n);
  /// y = (x - max) - log sum exp(x - max)
  void (*log_softmax)(const void* x, void* y, size_t rows, size_t n);
  /// lse[r] = log sum exp(x); -inf for rows of -inf alone
  void (*logsumexp)(const void* x, void* lse, size_t rows, size_t n);
  /// dx = y (g - sum y g), y the softmax
  void (*softmax_backward)(const void* y, const void* g, void* dx, size_t rows, size_t n);
  /// dx = g - exp(y) sum g, y the log-softmax
  void (*log_softmax_backward)(const void* y, const void* g, void* dx, size_t rows, size_t n);
  /// Writes loss[r] and lse[r]. Returns -1, or the first row whose label is neither ignored nor in [0, n);
  /// rows from there on are not computed.
  int64_t (*cross_entropy)(const void* logits, const CrossEntropyArgs& args, void* loss, void* lse,
                           size_t rows, size_t n);
  /// dlogits = weight[r] (softmax - (1 - smoothing) onehot - smoothing / n); may be written over logits.
  /// Labels must be those that cross_entropy accepted.
  void (*cross_entropy_backward)(const void* logits, const CrossEntropyArgs& args, const void* lse,
                                 const void* weight, void* dlogits, size_t rows, size_t n);
};

/// For f32, f64, f16 and bf16; nullptr otherwise.
const SoftmaxKernels* softmax_kernels(DType dtype);

}  // namespace fovea::simd
