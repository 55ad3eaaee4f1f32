#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// a == b as bool, elementwise, with NumPy broadcasting and promotion; false where either is NaN.
Tensor equal(const Arg& a, const Arg& b);

}  // namespace fovea
