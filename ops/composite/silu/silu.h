#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// x * sigmoid(x), also called swish, elementwise.
Tensor silu(const Arg& x);

}  // namespace fovea
