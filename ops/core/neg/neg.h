#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// -x, elementwise. Integers wrap around.
Tensor neg(const Arg& x);
inline Tensor operator-(const Arg& x) { return neg(x); }

}  // namespace fovea
