#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// y_i = exp(x_i - max x) / sum_j exp(x_j - max x) along `axis`. A row of only -inf gives NaN.
Tensor softmax(const Arg& x, int64_t axis = -1);

}  // namespace fovea
