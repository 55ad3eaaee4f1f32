#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Sine of x in radians, elementwise.
Tensor sin(const Arg& x);

}  // namespace fovea
