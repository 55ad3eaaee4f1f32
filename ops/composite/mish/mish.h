#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// x * tanh(softplus(x)), elementwise (Misra, 2019).
Tensor mish(const Arg& x);

}  // namespace fovea
