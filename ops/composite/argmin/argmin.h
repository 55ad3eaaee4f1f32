#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Position (i64) of the smallest element along `axis`: the first one where several tie. NaN counts as
/// smallest.
Tensor argmin(const Arg& x, int64_t axis = -1, bool keepdims = false);

}  // namespace fovea
