#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Hyperbolic tangent, elementwise.
Tensor tanh(const Arg& x);

}  // namespace fovea
