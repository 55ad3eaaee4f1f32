#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Square root, elementwise; NaN below 0.
Tensor sqrt(const Arg& x);

}  // namespace fovea
