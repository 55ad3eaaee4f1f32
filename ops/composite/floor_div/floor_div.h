#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// floor(a / b), elementwise, with NumPy broadcasting and promotion; integers stay integers. Its gradient is
/// 0.
Tensor floor_div(const Arg& a, const Arg& b);

}  // namespace fovea
