#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// x * x, elementwise. Integers wrap around.
Tensor square(const Arg& x);

}  // namespace fovea
