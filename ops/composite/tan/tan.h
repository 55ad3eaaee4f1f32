#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Tangent of x in radians, elementwise.
Tensor tan(const Arg& x);

}  // namespace fovea
