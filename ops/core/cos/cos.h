#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Cosine of x in radians, elementwise.
Tensor cos(const Arg& x);

}  // namespace fovea
