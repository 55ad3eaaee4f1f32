#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Running sums along `axis`: y_i = x_0 + ... + x_i, or with `reverse` y_i = x_i + ... + x_{n-1}.
Tensor cumsum(const Arg& x, int64_t axis = -1, bool reverse = false);

}  // namespace fovea
