#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// x held between low and high, elementwise: min(max(x, low), high); NaN stays NaN. The gradient is 0 outside
/// and passes at the bounds.
Tensor clip(const Arg& x, double low, double high);

}  // namespace fovea
