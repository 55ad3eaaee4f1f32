#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// 1 / sqrt(x), elementwise.
Tensor rsqrt(const Arg& x);

}  // namespace fovea
