#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// 1 where x > 0, -1 where x < 0, 0 at 0, NaN for NaN. Its gradient is 0.
Tensor sign(const Arg& x);

}  // namespace fovea
