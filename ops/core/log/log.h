#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Natural logarithm, elementwise: -inf at 0, NaN below.
Tensor log(const Arg& x);

}  // namespace fovea
