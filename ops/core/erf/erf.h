#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// The error function 2 / sqrt(pi) * integral of exp(-t^2) from 0 to x, elementwise.
Tensor erf(const Arg& x);

}  // namespace fovea
