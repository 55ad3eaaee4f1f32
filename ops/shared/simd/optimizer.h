// Optimiser updates: one sweep over flat float arrays, on the calling thread. Each element depends on its own
// state alone. Gradients are f32, or bf16 with f32 master parameters; then `shadow` receives the new
// parameters in bf16.
#pragma once

#include <cstddef>
#include <cstdint>

#include "framework/tensor/dtype.h"

namespace fovea::simd {

struct SgdArgs {
  double lr = 0.01, momentum = 0, weight_decay = 0;
  bool nesterov = false;
  double grad_scale = 1;  ///< multiplies the gradient first: clipping and loss scale
};
/// g = grad grad_scale + weight_decay param; velocity = momentum velocity + g;
/// param -= lr (nesterov ? g + momentum velocity : velocity). velocity may be null when momentum is 0; it
/// starts at 0. grad_dtype is f32 or bf16 (others: false, nothing done); shadow may be null.
bool sgd_update(const SgdArgs& args, float* param, const void* grad, DType grad_dtype, float* velocity,
                bf16_t* shadow, size_t n);

struct AdamArgs {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  bool decoupled = false;  ///< AdamW (Loshchilov and Hutter 2017): param *= 1 - lr weight_decay
  int64_t step = 1;        ///< 1 at the first update
  double grad_scale = 1;
};
/// Adam (Kingma and Ba 2014) in PyTorch's order: m += (1 - beta1) (g - m); v = beta2 v + (1 - beta2) g^2;
/// param -= lr / (1 - beta1^step) m / (sqrt(v) / sqrt(1 - beta2^step) + eps).
bool adam_update(const AdamArgs& args, float* param, const void* grad, DType grad_dtype, float* m, float* v,
                 bf16_t* shadow, size_t n);

/// average = decay average + (1 - decay) value
void ema_update(float* average, const float* value, double decay, size_t n);

/// Sum of x[i]^2 in an order fixed by n, for norms taken over fixed blocks. f32, f64, f16, bf16; NaN
/// otherwise.
double sum_squares(const void* x, DType dtype, size_t n);

}  // namespace fovea::simd
