#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// `x` with updates[i, j, k] added at [i, indices[i, j, k], k] (for axis 1): the adjoint of take_along_axis.
Tensor scatter_along_axis(const Arg& x, const Arg& indices, const Arg& updates, int64_t axis);

}  // namespace fovea
