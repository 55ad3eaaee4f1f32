#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// The greatest integer not above x, elementwise. Its gradient is 0.
Tensor floor(const Arg& x);

}  // namespace fovea
