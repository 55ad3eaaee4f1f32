#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// y = x / sqrt(mean(x^2) + eps) * gamma over the last `dims` axes of x (Zhang and Sennrich 2019). gamma has
/// the shape of those axes and may be undefined.
Tensor rms_norm(const Arg& x, const Tensor& gamma = {}, double eps = 1e-6, int64_t dims = 1);

}  // namespace fovea
