#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// y = (x - mean) / sqrt(var + eps) * gamma + beta for x [N, C, ...] with given statistics; mean, var, gamma
/// and beta are [C]; gamma and beta may be undefined.
Tensor batch_norm_inference(const Arg& x, const Tensor& mean, const Tensor& var, const Tensor& gamma = {},
                            const Tensor& beta = {}, double eps = 1e-5);

}  // namespace fovea
