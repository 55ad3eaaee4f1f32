#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// The least integer not below x, elementwise. Its gradient is 0.
Tensor ceil(const Arg& x);

}  // namespace fovea
