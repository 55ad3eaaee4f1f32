#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// `x` in row-major memory of its own.
Tensor copy(const Arg& x);

}  // namespace fovea
