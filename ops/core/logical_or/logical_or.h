#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// a or b, elementwise, with NumPy broadcasting. Operands of other types are true where they are not 0.
Tensor logical_or(const Arg& a, const Arg& b);
inline Tensor operator||(const Arg& a, const Arg& b) { return logical_or(a, b); }

}  // namespace fovea
