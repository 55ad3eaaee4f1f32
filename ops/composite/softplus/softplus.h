#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// ln(1 + e^x), elementwise, without overflow.
Tensor softplus(const Arg& x);

}  // namespace fovea
