#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// y[..., j] = 1 where j equals the index, 0 elsewhere: a new last axis of size `depth`. Indices outside give
/// zeros.
Tensor one_hot(const Arg& indices, Dim depth, DType dtype = DType::f32);

}  // namespace fovea
