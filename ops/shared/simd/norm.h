// Layer, RMS and batch normalisation for f32 and f64. Every function runs on the calling thread; T below is
// float or double by the dtype. Group norm and instance norm are layer norm over [batch * groups] rows
// without gamma and beta, followed by channel_normalize with mean 0.
#pragma once

#include <cstddef>

#include "framework/tensor/dtype.h"

namespace fovea::simd {

/// Rows [rows, n]: y = x + branch, z = the norm of y. y may be x or branch or z, z may be branch.
struct ResidualNormArgs {
  const void *x, *branch, *gamma, *beta;  ///< gamma and beta [n] may be null
  void *z, *y, *mean, *rstd;              ///< mean and rstd [rows] may be null
  size_t rows, n;
  double eps;
  bool centred;  ///< layer norm; else RMS norm
};
/// The gradient of y: that of the norm from g = dL/dz, and `residual`, which reached y on other ways. Adds to
/// dgamma and dbeta as layer_norm_backward does.
struct ResidualNormGradients {
  const void *g, *y, *gamma, *mean, *rstd, *residual;  ///< gamma and residual may be null; no mean: RMS norm
  void *dx, *dgamma, *dbeta;                           ///< dx may be g, y or residual
  size_t rows, n;
};

struct NormKernels {
  /// Rows [rows, n] of T: y = (x - mean) rstd gamma + beta, with the biased variance and rstd = 1 / sqrt(var
  /// + eps) (Ba et al. 2016, arXiv 1607.06450). gamma, beta [n], mean, rstd [rows] may be null. y may be x.
  void (*layer_norm)(const void* x, const void* gamma, const void* beta, void* y, void* mean, void* rstd,
                     size_t rows, size_t n, double eps);
  /// dx from g = dL/dy and the saved mean and rstd. Adds sum g xhat to dgamma [n] and sum g to dbeta [n]
  /// (either may be null): give each fixed block of rows its own zeroed pair and add the pairs in order. dx
  /// may be g or null.
  void (*layer_norm_backward)(const void* g, const void* x, const void* gamma, const void* mean,
                              const void* rstd, void* dx, void* dgamma, void* dbeta, size_t rows, size_t n);
  /// y = x rstd gamma, rstd = 1 / sqrt(mean(x^2) + eps) (Zhang and Sennrich 2019, arXiv 1910.07467).
  void (*rms_norm)(const void* x, const void* gamma, void* y, void* rstd, size_t rows, size_t n, double eps);
  void (*rms_norm_backward)(const void* g, const void* x, const void* gamma, const void* rstd, void* dx,
                            void* dgamma, size_t rows, size_t n);
  void (*residual_norm)(const ResidualNormArgs& args);
  void (*residual_norm_backward)(const ResidualNormGradients& args);

  /// x [batch, channels, spatial]. mean[c] and the biased var[c] for c in [first, last); arrays are indexed
  /// by c.
  void (*channel_statistics)(const void* x, void* mean, void* var, size_t batch, size_t channels,
                             size_t spatial, size_t first, size_t last);
  /// y = (x - mean[c]) scale[c] + shift[c] for all of [batch, channels, spatial]; shift may be null. y may be
  /// x.
  void (*channel_normalize)(const void* x, const void* mean, const void* scale, const void* shift, void* y,
                            size_t batch, size_t channels, size_t spatial);
  /// dbeta[c] = sum g and dgamma[c] = sum g (x - mean) rstd for c in [first, last)
  void (*channel_gradients)(const void* g, const void* x, const void* mean, const void* rstd, void* dgamma,
                            void* dbeta, size_t batch, size_t channels, size_t spatial, size_t first,
                            size_t last);
  /// Batch norm in training: dx = gamma rstd (g - dbeta / count - xhat dgamma / count), where count is the
  /// number of values each channel's statistics were taken over. gamma may be null. dx may be g.
  void (*batch_norm_dx)(const void* g, const void* x, const void* mean, const void* rstd, const void* gamma,
                        const void* dgamma, const void* dbeta, double count, void* dx, size_t batch,
                        size_t channels, size_t spatial);
};

/// For f32 and f64; nullptr otherwise.
const NormKernels* norm_kernels(DType dtype);

}  // namespace fovea::simd
