#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// ln(1 + x), elementwise, without loss of digits near 0.
Tensor log1p(const Arg& x);

}  // namespace fovea
