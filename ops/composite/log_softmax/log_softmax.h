#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// log(softmax(x)) along `axis`, as (x - max x) - log sum exp(x - max x). A row of only -inf gives NaN.
Tensor log_softmax(const Arg& x, int64_t axis = -1);

}  // namespace fovea
