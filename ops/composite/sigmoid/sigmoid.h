#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// The logistic function 1 / (1 + e^-x), elementwise.
Tensor sigmoid(const Arg& x);

}  // namespace fovea
