#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// y[i, j, k] = x[i, indices[i, j, k], k] for axis 1: one element for each index. indices (i32 or i64) has
/// the shape of `x` but for its size along the axis. An index outside [0, size) is an error.
Tensor take_along_axis(const Arg& x, const Arg& indices, int64_t axis);

}  // namespace fovea
