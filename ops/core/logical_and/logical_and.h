#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// a and b, elementwise, with NumPy broadcasting. Operands of other types are true where they are not 0.
Tensor logical_and(const Arg& a, const Arg& b);
inline Tensor operator&&(const Arg& a, const Arg& b) { return logical_and(a, b); }

}  // namespace fovea
