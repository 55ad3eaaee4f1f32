#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// max(x, 0), elementwise; NaN stays NaN; the gradient at 0 is 0.
Tensor relu(const Arg& x);

}  // namespace fovea
