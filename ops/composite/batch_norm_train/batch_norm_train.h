#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// The result of batch_norm_train.
struct BatchNorm {
  Tensor y;
  Tensor mean, var;  ///< of this batch, [C]; var is the biased one. f32 for half types
};

/// y = (x - mean) / sqrt(var + eps) * gamma + beta for x [N, C, ...] with the statistics of each channel over
/// the batch (Ioffe and Szegedy 2015). gamma and beta are [C]; either may be undefined.
BatchNorm batch_norm_train(const Arg& x, const Tensor& gamma = {}, const Tensor& beta = {},
                           double eps = 1e-5);

}  // namespace fovea
