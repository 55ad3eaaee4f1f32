#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Slices of `x` along `axis` at `indices` (i32 or i64, any shape): the axis is replaced by the axes of the
/// indices. gather(table, ids) looks rows up. An index outside [0, size) is an error.
Tensor gather(const Arg& x, const Arg& indices, int64_t axis = 0);

}  // namespace fovea
