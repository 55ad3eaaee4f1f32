#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// Either a or b, not both, elementwise, with NumPy broadcasting. Operands of other types are true where they
/// are not 0.
Tensor logical_xor(const Arg& a, const Arg& b);

}  // namespace fovea
