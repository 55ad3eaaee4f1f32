#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// True where x is NaN.
Tensor is_nan(const Arg& x);

}  // namespace fovea
