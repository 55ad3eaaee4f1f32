#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// a != b as bool, elementwise, with NumPy broadcasting and promotion; true where either is NaN.
Tensor not_equal(const Arg& a, const Arg& b);

}  // namespace fovea
