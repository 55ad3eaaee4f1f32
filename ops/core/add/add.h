#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// a + b, elementwise, with NumPy broadcasting and promotion. Integers wrap around.
Tensor add(const Arg& a, const Arg& b);
inline Tensor operator+(const Arg& a, const Arg& b) { return add(a, b); }

}  // namespace fovea
