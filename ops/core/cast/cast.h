#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// x as `dtype`. Floating to integer truncates toward 0 and saturates, NaN becomes 0; integers keep their low
/// bits; anything but 0 is true. Gradients pass between floating types.
Tensor cast(const Arg& x, DType dtype);

}  // namespace fovea
