#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// x where x > 0, else alpha * (e^x - 1) (Clevert et al., 2015); the gradient at 0 is alpha.
Tensor elu(const Arg& x, double alpha = 1.0);

}  // namespace fovea
