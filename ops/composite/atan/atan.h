#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// The angle in radians, from -pi/2 to pi/2, whose tangent is x, elementwise.
Tensor atan(const Arg& x);

}  // namespace fovea
