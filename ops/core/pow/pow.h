#pragma once

#include "graph/build/tensor.h"

namespace fovea {

/// a to the power b, elementwise, with NumPy broadcasting and promotion. A floating tensor to the power of
/// the plain number 2 or 3 becomes a product. The gradient of b is a^b ln a, and 0 where a is 0.
Tensor pow(const Arg& a, const Arg& b);

}  // namespace fovea
