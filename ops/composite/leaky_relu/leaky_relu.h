#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// x where x > 0, else negative_slope * x; the gradient at 0 is that of the negative side.
Tensor leaky_relu(const Arg& x, double negative_slope = 0.01);

}  // namespace fovea
