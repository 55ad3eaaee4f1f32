#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Not x, elementwise. Operands of other types are true where they are not 0.
Tensor logical_not(const Arg& x);
inline Tensor operator!(const Arg& x) { return logical_not(x); }

}  // namespace fovea
