#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// The larger of a and b, elementwise, with NumPy broadcasting; NaN where either is NaN. Where both are equal
/// each gets half of the gradient.
Tensor maximum(const Arg& a, const Arg& b);

}  // namespace fovea
