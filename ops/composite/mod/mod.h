#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// The rest of a / b with the sign of b, as in Python: a - b * floor(a / b), elementwise, with NumPy
/// broadcasting and promotion. An integer mod 0 is 0.
Tensor mod(const Arg& a, const Arg& b);

}  // namespace fovea
