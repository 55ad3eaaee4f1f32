#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// a <= b as bool, elementwise, with NumPy broadcasting and promotion; false where either is NaN.
Tensor less_equal(const Arg& a, const Arg& b);
inline Tensor operator<=(const Arg& a, const Arg& b) { return less_equal(a, b); }

}  // namespace fovea
