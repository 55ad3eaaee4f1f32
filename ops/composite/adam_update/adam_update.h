#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Settings of adam_update; the names and defaults are PyTorch's.
struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  bool decoupled = false;  ///< AdamW: weight decay on the parameters, not in the gradient
};

/// What an Adam step leaves.
struct AdamResult {
  Tensor param, m, v;
};

/// One step of Adam (Kingma and Ba 2014), or AdamW (Loshchilov and Hutter 2017): g = grad_scale grad (+
/// weight_decay param); m + (1 - beta1) (g - m); beta2 v + (1 - beta2) g^2; param - lr / (1 - beta1^step) m /
/// (sqrt(v) / sqrt(1 - beta2^step) + eps). m and v begin as zeros; lr, step (1 at the first update) and
/// grad_scale are scalars.
AdamResult adam_update(const Tensor& param, const Tensor& grad, const Tensor& m, const Tensor& v,
                       const Tensor& lr, const Tensor& step, const AdamOptions& options = {},
                       const Tensor& grad_scale = {}, Source source = Source::here());

}  // namespace fovea
