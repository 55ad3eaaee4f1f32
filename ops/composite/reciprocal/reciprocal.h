#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// 1 / x, elementwise.
Tensor reciprocal(const Arg& x);

}  // namespace fovea
