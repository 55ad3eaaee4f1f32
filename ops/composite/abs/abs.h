#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Absolute value, elementwise; the gradient at 0 is 0.
Tensor abs(const Arg& x);

}  // namespace fovea
