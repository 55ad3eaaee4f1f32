#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// e^x - 1, elementwise, without loss of digits near 0.
Tensor expm1(const Arg& x);

}  // namespace fovea
