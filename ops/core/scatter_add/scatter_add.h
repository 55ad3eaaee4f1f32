#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// `x` with `updates` added to its slices along `axis` at `indices`: the adjoint of gather. updates has the
/// shape of gather(x, indices, axis). Equal indices add up, in the order of the indices: equal bits in every
/// run.
Tensor scatter_add(const Arg& x, const Arg& indices, const Arg& updates, int64_t axis = 0);

}  // namespace fovea
