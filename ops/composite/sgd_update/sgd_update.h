#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Settings of sgd_update; the names and defaults are PyTorch's.
struct SgdOptions {
  double momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;
};

/// What an SGD step leaves.
struct SgdResult {
  Tensor param;
  Tensor velocity;  ///< undefined where none was given
};

/// One step of stochastic gradient descent: g = grad_scale grad + weight_decay param; velocity = momentum
/// velocity + (1 - dampening) g; param - lr (g + momentum velocity with nesterov, else velocity, or g without
/// a velocity). `velocity` begins as zeros and is needed with momentum; `step` (a scalar, 1 at the first
/// update) is needed with dampening, which leaves the first step out. lr and grad_scale are scalars.
SgdResult sgd_update(const Tensor& param, const Tensor& grad, const Tensor& lr,
                     const SgdOptions& options = {}, const Tensor& velocity = {}, const Tensor& step = {},
                     const Tensor& grad_scale = {}, Source source = Source::here());

}  // namespace fovea
