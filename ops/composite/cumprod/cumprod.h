#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Running products along `axis`: y_i = x_0 * ... * x_i. The gradient is exact at zeros and takes memory
/// quadratic in the size of the axis.
Tensor cumprod(const Arg& x, int64_t axis = -1);

}  // namespace fovea
