#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// a - b, elementwise, with NumPy broadcasting and promotion. Integers wrap around.
Tensor sub(const Arg& a, const Arg& b);
inline Tensor operator-(const Arg& a, const Arg& b) { return sub(a, b); }

}  // namespace fovea
