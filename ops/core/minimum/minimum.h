#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// The smaller of a and b, elementwise, with NumPy broadcasting; NaN where either is NaN. Where both are
/// equal each gets half of the gradient.
Tensor minimum(const Arg& a, const Arg& b);

}  // namespace fovea
