#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// `x` repeated along axes of size 1 and along new leading axes until it has `shape`, as NumPy broadcasts.
Tensor broadcast_to(const Arg& x, Shape shape);

}  // namespace fovea
