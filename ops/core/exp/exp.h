#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// e to the power x, elementwise.
Tensor exp(const Arg& x);

}  // namespace fovea
