#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// True where x is neither infinite nor NaN.
Tensor is_finite(const Arg& x);

}  // namespace fovea
