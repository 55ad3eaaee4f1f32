#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// y = (x - mean) / sqrt(var + eps) * gamma + beta over the last `dims` axes of x, with the biased variance
/// (Ba, Kiros and Hinton 2016). gamma and beta have the shape of those axes; either may be undefined.
Tensor layer_norm(const Arg& x, const Tensor& gamma = {}, const Tensor& beta = {}, double eps = 1e-5,
                  int64_t dims = 1);

}  // namespace fovea
